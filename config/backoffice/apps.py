from django.contrib.admin import apps


class BackOfficeConfig(apps.AdminConfig):
    """Django's admin, with a front page of ours."""

    default_site = "config.backoffice.site.BackOfficeSite"

    # What staff did stays as it was written (docs/decisions/0015).
    insert_only_tables = ("django_admin_log",)

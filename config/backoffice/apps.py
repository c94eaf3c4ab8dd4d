from django.contrib.admin import apps


class BackOfficeConfig(apps.AdminConfig):
    """Django's admin with our own front page."""

    default_site = "config.backoffice.site.BackOfficeSite"

    # The staff log is insert-only (docs/decisions/0015).
    insert_only_tables = ("django_admin_log",)

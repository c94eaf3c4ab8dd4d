from django.contrib.admin import apps


class BackOfficeConfig(apps.AdminConfig):
    """Django's admin, with a front page of ours."""

    default_site = "config.backoffice.site.BackOfficeSite"

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """The wiring, listed as an app for its commands and checks."""

    name = "config"
    verbose_name = "Wiring"

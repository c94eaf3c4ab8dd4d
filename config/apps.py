from importlib import import_module

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """The wiring, listed as an app for its commands, checks and the table of rate windows."""

    name = "config"
    verbose_name = "Wiring"

    def ready(self) -> None:
        """Register the system checks."""
        import_module("config.checks")

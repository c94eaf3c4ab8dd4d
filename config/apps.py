from importlib import import_module

from django.apps import AppConfig
from psycopg.types.json import set_json_dumps


class ConfigConfig(AppConfig):
    """The project's configuration, an app for its commands, checks and the table of rate windows."""

    name = "config"
    verbose_name = "Administration"
    insert_only_tables = ("config_spentform",)  # a spent form stays spent

    def ready(self) -> None:
        """Register the system checks, and a JSON adapter that keeps decimals exact in the database."""
        import_module("config.checks")
        set_json_dumps(import_module("config.values.json").exact_json)

"""Django's PostgreSQL backend, which starts the embedded server when a connection fails."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import base

from config.postgres.cluster import default_cluster
from config.postgres.processes import EmbeddedPostgresError


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection to the cluster of this checkout (engine `config.db.embedded`, no `pool`)."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect; if that fails, make sure that the server runs and try once more."""
        try:
            return super().get_new_connection(conn_params)
        except self.Database.OperationalError:
            try:
                default_cluster().ensure_running()
            except EmbeddedPostgresError as refusal:
                raise self.Database.OperationalError(str(refusal)) from refusal
            return super().get_new_connection(conn_params)

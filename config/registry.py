"""The registry of this process's counters: what counts for Prometheus registers here; `config.metrics` prints it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

REGISTRY = CollectorRegistry()

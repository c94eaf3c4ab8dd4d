"""The registry of this process's Prometheus metrics; `config.metrics` prints it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

REGISTRY = CollectorRegistry()

"""Metering for the company's own services (docs/metering.md): the names that they import."""

from usage.metering.asgi import MeteredAsgi
from usage.metering.decorator import metered
from usage.metering.work import Metering
from usage.metering.wsgi import MeteredWsgi

__all__ = ["MeteredAsgi", "MeteredWsgi", "Metering", "metered"]

"""Metering for the company's own services (docs/metering.md): what they import."""

from usage.metering.decorator import metered
from usage.metering.work import Metering

__all__ = ["Metering", "metered"]

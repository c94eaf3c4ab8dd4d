"""Pages about requests and prices, and the page of a customer, which joins all three apps."""

from usage.admin.customers import CustomerAdmin
from usage.admin.prices import PriceAdmin
from usage.admin.requests import RequestLogAdmin

__all__ = ["CustomerAdmin", "PriceAdmin", "RequestLogAdmin"]

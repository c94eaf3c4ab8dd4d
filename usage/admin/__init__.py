"""Pages about requests and prices, and those that join all three apps: the front page, the page of a customer."""

from usage.admin.customers import CustomerAdmin
from usage.admin.dashboard import front_page
from usage.admin.prices import PriceAdmin
from usage.admin.reconciliation_runs import ReconciliationRunAdmin
from usage.admin.requests import RequestLogAdmin

__all__ = ["CustomerAdmin", "PriceAdmin", "ReconciliationRunAdmin", "RequestLogAdmin", "front_page"]

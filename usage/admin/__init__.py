"""Pages for requests and prices, and those that join apps: the front page, the pages of a customer and of a key."""

from usage.admin.alerts import AlertAdmin
from usage.admin.api_keys import SpendingKeyAdmin
from usage.admin.customer.admin import CustomerAdmin
from usage.admin.dashboard.page import front_page
from usage.admin.disputes import EntryDisputeAdmin
from usage.admin.entries import ExplainedEntryAdmin
from usage.admin.finders import FINDERS
from usage.admin.imported_customers import ImportedCustomerAdmin
from usage.admin.prices import PriceAdmin
from usage.admin.reconciliation.findings import ReconciliationFindingAdmin
from usage.admin.reconciliation.runs import ReconciliationRunAdmin
from usage.admin.requests import RequestLogAdmin
from usage.admin.to_do import TO_DOS

__all__ = [
    "FINDERS",
    "TO_DOS",
    "AlertAdmin",
    "CustomerAdmin",
    "EntryDisputeAdmin",
    "ExplainedEntryAdmin",
    "ImportedCustomerAdmin",
    "PriceAdmin",
    "ReconciliationFindingAdmin",
    "ReconciliationRunAdmin",
    "RequestLogAdmin",
    "SpendingKeyAdmin",
    "front_page",
]

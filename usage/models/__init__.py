"""The models of usage: requests, their prices, and their sums."""

from usage.models.alert import Alert, AlertKind
from usage.models.daily_usage import DailyUsage
from usage.models.dropped_month import DroppedMonth
from usage.models.event_key import EventKey
from usage.models.figures import CustomerFigures, DayFigures, EndpointFigures
from usage.models.imported_customer import ImportedCustomer
from usage.models.imported_line import ImportedLine
from usage.models.key_spending import KeySpending
from usage.models.outcomes import Outcome
from usage.models.price import Price, PriceKind
from usage.models.reconciliation_finding import FindingEvent, FindingEventKind, ReconciliationFinding
from usage.models.reconciliation_run import ReconciliationRun
from usage.models.refund import Refund
from usage.models.request_log import RequestLog
from usage.models.requested_run import RequestedRun

__all__ = [
    "Alert",
    "AlertKind",
    "CustomerFigures",
    "DailyUsage",
    "DayFigures",
    "DroppedMonth",
    "EndpointFigures",
    "EventKey",
    "FindingEvent",
    "FindingEventKind",
    "ImportedCustomer",
    "ImportedLine",
    "KeySpending",
    "Outcome",
    "Price",
    "PriceKind",
    "ReconciliationFinding",
    "ReconciliationRun",
    "Refund",
    "RequestLog",
    "RequestedRun",
]

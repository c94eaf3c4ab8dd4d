"""The Account API's credits, ledger, holds and grants."""

from __future__ import annotations

from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema

from config.http.csv_lists import FORMAT, Sheet, listed
from config.http.documented import ChoiceParameter, id_parameter
from config.http.filters import filter_values
from config.http.lean import LeanAnswer, LeanListViewSet, LeanRequest, LeanViewSet
from config.http.parameters import path_number, wants_csv
from config.http.refusals import REFUSALS, ErrorSerializer
from ledger.filters import LedgerFilter
from ledger.listings import ENTRIES, GRANTS, HOLDS, LedgerRows, printed_grants_of, printed_holds_of
from ledger.models import Entry, Grant, Hold, HoldStatus
from ledger.selectors import LedgerPages, balance_of, grants_of, holds_of, ledger_of
from ledger.serializers.account import (
    AccountHoldSerializer,
    CreditBalanceSerializer,
    EntrySerializer,
    GrantSerializer,
    balance_answer,
)
from ledger.services.grants import settle_grants
from ledger.services.holds import expire_holds


class CreditsViewSet(LeanViewSet):
    """The customer's credits."""

    @extend_schema(
        operation_id="credits",
        summary="Credit balance",
        description="Balance, reserved and available credits at one time.",
        tags=["account"],
        responses={200: CreditBalanceSerializer, **REFUSALS},
    )
    def retrieve(self, request: LeanRequest) -> LeanAnswer:
        return LeanAnswer(balance_answer(balance_of(user_id=request.user.pk)))


LEDGER_SHEET = Sheet(
    "ledger.csv", ("id", "created_at", "type", "amount", "balance_after", "description", "reference", "metadata")
)


class LedgerViewSet(LeanListViewSet):
    """The entries behind the customer's balance, newest first."""

    serializer_class = EntrySerializer
    filterset_class = LedgerFilter
    queryset = Entry.objects.none()  # the pages come from a selector that neither counts nor skips rows

    @extend_schema(
        operation_id="ledger",
        summary="Credit ledger",
        description="Every change of the balance, newest first. A hold is no entry until it is captured.",
        tags=["account"],
        parameters=[FORMAT],
        responses=listed(EntrySerializer, "entries"),
    )
    def list(self, request: LeanRequest) -> LeanAnswer | StreamingHttpResponse:
        pages = self._pages(request)
        if wants_csv(request):
            return LEDGER_SHEET.answer(request, pages)
        return self.page_of(request, LedgerRows(**vars(pages)), ENTRIES)

    @extend_schema(
        operation_id="ledger_entry",
        summary="One ledger entry",
        description="The same fields as in the list.",
        tags=["account"],
        parameters=[id_parameter("The entry's id.")],
        responses={200: EntrySerializer, 404: ErrorSerializer, **REFUSALS},
    )
    def retrieve(self, request: LeanRequest, id: str) -> LeanAnswer:
        entry = get_object_or_404(Entry.objects.of(request.user.pk), pk=path_number(id))
        return LeanAnswer(EntrySerializer(entry).data)

    def _pages(self, request: LeanRequest) -> LedgerPages:
        asked = filter_values(request, LedgerFilter)
        user_id = request.user.pk
        wanted = {
            "type": asked["type"] or None,
            "reference": asked["reference"] or None,
            "start": asked["from"],
            "end": asked["to"],
        }
        pages = ledger_of(user_id=user_id, **wanted)
        if pages.is_behind:
            expire_holds(user_id=user_id)
            pages = ledger_of(user_id=user_id, **wanted)
        return pages


HOLD_STATUS = ChoiceParameter("status", HoldStatus.values, "Only holds of this status.")
HOLDS_SHEET = Sheet(
    "holds.csv",
    ("id", "created_at", "status", "credits", "captured", "expires_at", "settled_at", "reference", "metadata"),
    sources={"status": "status_now", "settled_at": "settled_at_now"},
)


class HoldsViewSet(LeanListViewSet):
    """Credits that are, or were, set aside for work in progress."""

    serializer_class = AccountHoldSerializer
    queryset = Hold.objects.none()  # each call is limited to the customer's own
    filter_backends = ()

    @extend_schema(
        operation_id="holds",
        summary="Holds",
        description="Open and closed holds, newest first. An expired hold is shown as expired from its expiry on.",
        tags=["account"],
        parameters=[
            HOLD_STATUS,
            FORMAT,
        ],
        responses=listed(AccountHoldSerializer, "holds"),
    )
    def list(self, request: LeanRequest) -> LeanAnswer | StreamingHttpResponse:
        wanted = {"user_id": request.user.pk, "now": timezone.now(), "status": HOLD_STATUS.read(request)}
        if wants_csv(request):
            return HOLDS_SHEET.answer(request, holds_of(**wanted))
        return self.page_of(request, printed_holds_of(**wanted), HOLDS)


GRANTS_SHEET = Sheet(
    "grants.csv",
    (
        "id", "entry_id", "amount", "remaining", "category", "priority", "effective_at", "expires_at", "created_at",
        "status",
    ),
    sources={"id": "entry_id", "status": "status_now"},
)  # fmt: skip


class GrantsViewSet(LeanListViewSet):
    """The customer's grants."""

    serializer_class = GrantSerializer
    queryset = Grant.objects.none()  # each call is limited to the customer's own
    filter_backends = ()

    @extend_schema(
        operation_id="grants",
        summary="Grants",
        description="Grants and what is left of each, newest first. They are spent by priority, then the one that "
        "expires soonest, promotional before paid, effective first, id. What is left when a grant expires is "
        "gone from that time on, except what an open hold had reserved: that stays until the hold ends.",
        tags=["account"],
        parameters=[FORMAT],
        responses=listed(GrantSerializer, "grants"),
    )
    def list(self, request: LeanRequest) -> LeanAnswer | StreamingHttpResponse:
        user_id = request.user.pk
        settle_grants(user_id=user_id)
        wanted = {"user_id": user_id, "now": timezone.now()}
        if wants_csv(request):
            return GRANTS_SHEET.answer(request, grants_of(**wanted))
        return self.page_of(request, printed_grants_of(**wanted), GRANTS)

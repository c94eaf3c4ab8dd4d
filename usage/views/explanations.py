"""The Account API's explanation of one entry."""

from __future__ import annotations

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema

from config.http.documented import id_parameter
from config.http.lean import LeanAnswer, LeanRequest, LeanViewSet
from config.http.parameters import path_number
from config.http.refusals import REFUSALS, ErrorSerializer
from ledger.models import Entry
from usage.serializers.explanations import ExplanationSerializer
from usage.services.explanations.explanation import explain_entry


class ExplanationViewSet(LeanViewSet):
    """How one entry came about."""

    @extend_schema(
        operation_id="explain_ledger_entry",
        summary="Explain a ledger entry",
        description="The requests, price, grants, hold, payment or period behind one entry, who made it, and the "
        "entries that took it back. A debit's `grants` sum to its amount; those of a credit are the ones that it "
        "opened or refilled. Once the month of the requests has been dropped from the log, `requests.items` is empty "
        "and `requests.count` stays.",
        tags=["account"],
        parameters=[id_parameter("The entry's id.")],
        responses={200: ExplanationSerializer, 404: ErrorSerializer, **REFUSALS},
    )
    def retrieve(self, request: LeanRequest, id: str) -> LeanAnswer:
        entry = get_object_or_404(Entry.objects.of(request.user.pk), pk=path_number(id))
        return LeanAnswer(ExplanationSerializer(explain_entry(entry, now=timezone.now())).data)

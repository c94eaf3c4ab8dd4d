"""Liveness and readiness for load balancers, without credentials and not counted against any limit."""

from __future__ import annotations

from functools import cache
from typing import Any

from django import db
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.http.answers import RETRY_AFTER_SECONDS, error_body
from config.http.operators import may_see_internals
from config.values.timestamps import instant_text
from usage.selectors import last_full_audit

OK = "ok"

_ALIVE = inline_serializer("Alive", {"status": serializers.CharField(help_text="Always ok.")})
_CHECKS = serializers.DictField(
    child=serializers.CharField(),
    required=False,
    help_text="Each check: ok, or what is wrong; and the last full reconcile. For this machine, or with METRICS_TOKEN.",
)
_READY = inline_serializer("Ready", {"status": serializers.CharField(), "checks": _CHECKS})
_NOT_READY = inline_serializer(
    "NotReady", {"detail": serializers.CharField(), "code": serializers.CharField(), "checks": _CHECKS}
)


class OpenView(APIView):
    """A view without authentication and rate limit."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()


class LiveView(OpenView):
    @extend_schema(
        operation_id="livez", summary="Is the process alive?", tags=["operations"], auth=[], responses={200: _ALIVE}
    )
    def get(self, request: Request) -> Response:  # noqa: ARG002
        return Response({"status": OK})


class ReadyView(OpenView):
    @extend_schema(
        operation_id="readyz",
        summary="Can the process take work?",
        description="The checks are shown to this machine, and to callers with METRICS_TOKEN.",
        tags=["operations"],
        auth=[],
        responses={200: _READY, 503: _NOT_READY},
    )
    def get(self, request: Request) -> Response:
        checks, is_told = run_checks(), may_see_internals(request._request)
        if all(result == OK for result in checks.values()):
            return Response(
                {"status": OK, "checks": checks | {"last_audit": audit_line()}} if is_told else {"status": OK}
            )
        return Response(
            error_body(
                503, detail="The service is not ready to take work.", extra={"checks": checks} if is_told else {}
            ),
            status=503,
            headers={"Retry-After": RETRY_AFTER_SECONDS},
        )


def run_checks() -> dict[str, str]:
    """Run every readiness check; each returns `ok` or what is wrong, without secrets."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        missing = len(_known_migrations() - set(MigrationRecorder(connection).applied_migrations()))
    except db.Error:
        return {"database": "does not answer", "migrations": "unknown"}
    return {"database": OK, "migrations": f"{missing} not applied" if missing else OK}


def audit_line() -> str:
    """Return a line about the last full `reconcile`. Findings are for people: they do not make the service unready."""
    audit = last_full_audit()
    if audit is None:
        return "never run"
    return f"{audit.findings or 'no'} findings at {instant_text(audit.finished_at)}"


@cache
def _known_migrations() -> frozenset[Any]:
    return frozenset(MigrationLoader(None).disk_migrations)

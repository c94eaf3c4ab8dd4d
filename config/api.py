"""The HTTP status and code of each refusal: the only module that knows both the domain and HTTP."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django import db
from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

from accounts import errors as accounts_errors
from config.db.failures import count_database_error, is_database_away
from config.http.answers import RETRY_AFTER_SECONDS, error_body
from config.http.field_errors import flattened
from config.http.throttling import count_of, count_refusal, rate_headers
from config.values.credits import plain
from config.values.statuses import WORDS_BY_STATUS
from ledger import adjustment_errors, dispute_errors
from ledger import errors as ledger_errors
from usage import errors as usage_errors

STATUS_BY_ERROR: dict[type[Exception], tuple[int, str]] = {
    accounts_errors.InvalidCredentials: (401, "invalid_credentials"),
    accounts_errors.TooManyLoginFailures: (429, "rate_limited"),
    accounts_errors.TooManyRegistrations: (429, "rate_limited"),
    accounts_errors.HashingBusy: (503, "unavailable"),
    accounts_errors.RegistrationClosed: (403, "registration_closed"),
    accounts_errors.FieldsRefused: (400, "invalid"),
    accounts_errors.CannotBeMailed: (409, "cannot_be_mailed"),
    accounts_errors.EmailHasChanged: (409, "email_has_changed"),
    accounts_errors.EmailIsVerified: (409, "email_is_verified"),
    accounts_errors.TooManyResetLinks: (429, "rate_limited"),
    accounts_errors.TokenInvalid: (401, "token_invalid"),
    accounts_errors.RefreshTokenSpent: (401, "refresh_token_spent"),
    accounts_errors.ApiKeyMissing: (401, "api_key_missing"),
    accounts_errors.ApiKeyInvalid: (401, "api_key_invalid"),
    accounts_errors.ApiKeyNotFound: (404, "not_found"),
    accounts_errors.OwnKeyNotFound: (404, "not_found"),
    accounts_errors.NoKeyToRevoke: (409, "no_key_to_revoke"),
    accounts_errors.ApiKeyRefused: (400, "invalid"),
    accounts_errors.TooManyApiKeys: (409, "api_key_limit_reached"),
    accounts_errors.ApiKeyRevoked: (409, "api_key_revoked"),
    accounts_errors.ApiKeyExpired: (409, "api_key_expired"),
    accounts_errors.ApiKeyReplaced: (409, "api_key_replaced"),
    accounts_errors.ScopeMissing: (403, "scope_missing"),
    accounts_errors.UserNotFound: (404, "not_found"),
    accounts_errors.PlanNotFound: (404, "plan_not_found"),
    accounts_errors.WebhookNotFound: (404, "not_found"),
    accounts_errors.WebhookRefused: (400, "invalid"),
    accounts_errors.TooManyWebhooks: (409, "webhook_limit_reached"),
    accounts_errors.TooManyWebhookTests: (429, "rate_limited"),
    accounts_errors.WebhooksMadeTooOften: (429, "rate_limited"),
    accounts_errors.TooManyResends: (429, "rate_limited"),
    accounts_errors.WebhookDisabled: (409, "webhook_disabled"),
    accounts_errors.WrongSecondFactor: (401, "second_factor_wrong"),  # of pages alone, as the two below
    accounts_errors.NoSecondFactor: (409, "no_second_factor"),
    accounts_errors.SignOnRefused: (403, "sign_on_refused"),
    accounts_errors.IssuerBusy: (503, "unavailable"),
    accounts_errors.UnknownPermissions: (500, "internal_error"),  # a command's alone
    ledger_errors.IdempotencyKeyReused: (422, "idempotency_key_reused"),
    ledger_errors.InsufficientCredits: (402, "insufficient_credits"),
    ledger_errors.BalanceLimitExceeded: (422, "balance_limit_exceeded"),
    ledger_errors.GrantUntimely: (422, "grant_untimely"),
    ledger_errors.GrantNotFound: (404, "not_found"),
    ledger_errors.GrantHasEnded: (409, "grant_has_ended"),
    ledger_errors.GrantIsUsed: (409, "grant_is_used"),
    ledger_errors.GrantEndsLater: (422, "grant_ends_later"),
    ledger_errors.TermsUnchanged: (409, "terms_unchanged"),
    ledger_errors.OverdraftLimitTooLow: (422, "overdraft_limit_too_low"),
    ledger_errors.SubscriptionExists: (409, "subscription_exists"),
    ledger_errors.SubscriptionNotFound: (404, "subscription_not_found"),
    ledger_errors.SubscriptionUnchanged: (409, "subscription_unchanged"),
    ledger_errors.SubscriptionUntimely: (422, "subscription_untimely"),
    ledger_errors.PlanNotOffered: (409, "plan_not_offered"),
    adjustment_errors.BalanceFrozen: (409, "balance_frozen"),
    adjustment_errors.AdjustmentRefusal: (409, "adjustment_refused"),
    adjustment_errors.AdjustmentNotFound: (404, "not_found"),
    adjustment_errors.AdjustmentDecided: (409, "adjustment_decided"),
    adjustment_errors.SecondPersonRequired: (409, "second_person_required"),
    adjustment_errors.OwnAccountAdjusted: (409, "own_account"),
    adjustment_errors.GrantsUnsettled: (409, "grants_unsettled"),
    adjustment_errors.EntryNotReversible: (409, "entry_not_reversible"),
    adjustment_errors.ReversalExceedsEntry: (422, "reversal_exceeds_entry"),
    adjustment_errors.AdjustmentFileRefused: (422, "adjustment_file_refused"),
    adjustment_errors.AdjustmentFileKnown: (409, "adjustment_file_known"),
    ledger_errors.UnknownCustomer: (404, "customer_not_found"),
    ledger_errors.HoldNotFound: (404, "not_found"),
    ledger_errors.HoldSettled: (409, "hold_settled"),
    ledger_errors.HoldCaptured: (409, "hold_captured"),
    ledger_errors.HoldReleased: (409, "hold_released"),
    ledger_errors.HoldExpired: (409, "hold_expired"),
    ledger_errors.CaptureExceedsHold: (422, "capture_exceeds_hold"),
    ledger_errors.ChargeNotFound: (404, "not_found"),
    ledger_errors.RefundExceedsCharge: (422, "refund_exceeds_charge"),
    dispute_errors.EntryNotFound: (404, "not_found"),
    dispute_errors.EntryNotDisputable: (422, "entry_not_disputable"),
    dispute_errors.DisputeTooLate: (422, "dispute_too_late"),
    dispute_errors.DisputeExists: (409, "dispute_exists"),
    dispute_errors.TooManyDisputes: (409, "dispute_limit_reached"),
    dispute_errors.TooManyMessages: (409, "dispute_message_limit_reached"),
    dispute_errors.DisputeNotFound: (404, "not_found"),
    dispute_errors.DisputeClosed: (409, "dispute_closed"),
    dispute_errors.DisputeAwaitsApproval: (409, "dispute_awaits_approval"),
    ledger_errors.PaymentsOff: (404, "payments_off"),
    ledger_errors.PaymentProviderAway: (503, "payment_provider_away"),
    ledger_errors.PaymentProviderBusy: (503, "payment_provider_busy"),
    ledger_errors.PackageNotFound: (404, "package_not_found"),
    ledger_errors.PackageChanged: (409, "package_changed"),
    ledger_errors.TooManyTopUps: (429, "rate_limited"),
    ledger_errors.TooManyNewCards: (429, "rate_limited"),
    ledger_errors.PaymentMethodNotFound: (404, "payment_method_not_found"),
    ledger_errors.CardDisputed: (409, "payment_method_disputed"),
    ledger_errors.PaymentNotFound: (404, "not_found"),
    ledger_errors.PaymentNotRefundable: (409, "payment_not_refundable"),
    ledger_errors.RefundUnderWay: (409, "refund_under_way"),
    ledger_errors.RefundExceedsPayment: (422, "refund_exceeds_payment"),
    ledger_errors.PaymentMismatch: (409, "payment_mismatch"),
    ledger_errors.ReceiptNotDue: (409, "receipt_not_due"),
    ledger_errors.EmailNotVerified: (409, "email_not_verified"),
    ledger_errors.TooManyReceipts: (429, "rate_limited"),
    ledger_errors.AutoReloadIsOff: (409, "auto_reload_is_off"),
    ledger_errors.AutoReloadNotOffered: (409, "auto_reload_not_offered"),
    ledger_errors.ConsentRequired: (409, "consent_required"),
    ledger_errors.ReloadTermsRefused: (400, "invalid"),
    ledger_errors.WebhookSignatureInvalid: (401, "signature_invalid"),
    ledger_errors.WebhookNotUnderstood: (400, "webhook_not_understood"),
    usage_errors.PriceUnknown: (400, "price_unknown"),
    usage_errors.PriceNotUnderstood: (400, "price_not_understood"),
    usage_errors.PriceExists: (409, "price_exists"),
    usage_errors.NoStatement: (404, "no_statement"),
    usage_errors.CustomerKeyInvalid: (403, "customer_key_invalid"),
    usage_errors.CustomerKeyRateLimited: (429, "rate_limited"),
    usage_errors.CustomerInactive: (403, "customer_inactive"),
    usage_errors.AlertNotFound: (404, "not_found"),
    usage_errors.AlertRefused: (400, "invalid"),
    usage_errors.AlertExists: (409, "alert_exists"),
    usage_errors.AlertStays: (409, "alert_stays"),
    usage_errors.TooManyAlerts: (409, "alert_limit_reached"),
    usage_errors.EventsRejected: (400, "events_rejected"),
    usage_errors.EventsUnavailable: (503, "unavailable"),
    usage_errors.LogIsGone: (409, "log_is_gone"),
    usage_errors.IdempotencyKeyRefused: (400, "invalid"),
    usage_errors.IdempotencyKeySpent: (409, "idempotency_key_spent"),
    usage_errors.MeteringUnavailable: (503, "unavailable"),
    usage_errors.FindingNotFound: (404, "not_found"),
    usage_errors.FindingClosed: (409, "finding_closed"),
    usage_errors.FindingKeyReused: (422, "idempotency_key_reused"),
    usage_errors.RunUnderWay: (409, "run_under_way"),
}

logger = logging.getLogger(__name__)


@dataclass
class Refusal:
    """The parts of an error response."""

    status: int
    code: str = ""
    detail: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> Response | None:
    """Return the response for an exception of a view; None lets it become a logged 500.

    A call that was refused before the throttle ran is counted against its caller's limit here.
    """
    refusal = _refusal_of(exc)
    if refusal is None:
        return None
    view, request = context["view"], context["request"]
    if refusal.status < 500 and view.throttle_classes:
        count = count_refusal(request, refusal.status)
        if count is not None and not count.allowed:
            refusal = Refusal(429, headers=rate_headers(count))
    if refusal.status == 401:
        challenge = view.get_authenticate_header(request) or 'Bearer realm="api"'
        refusal.headers.setdefault("WWW-Authenticate", challenge)
    if refusal.status == 429:
        _word_as_limit(refusal, request)
    return Response(
        error_body(refusal.status, code=refusal.code, detail=refusal.detail, extra=_plain_numbers(refusal.extra)),
        status=refusal.status,
        headers=refusal.headers,
    )


def status_of(error: BaseException) -> tuple[int, str] | None:
    """Return the status and code of a domain error, by its class or the nearest base in the table."""
    for kind in type(error).__mro__:
        if kind in STATUS_BY_ERROR:
            return STATUS_BY_ERROR[kind]
    return None


def _refusal_of(exc: Exception) -> Refusal | None:
    if isinstance(exc, exceptions.ValidationError):
        return _of_fields(exc)
    if isinstance(exc, exceptions.APIException):
        return _of_framework(exc)
    if isinstance(exc, Http404):
        return Refusal(404)
    if isinstance(exc, PermissionDenied):
        return Refusal(403)
    if isinstance(exc, db.Error) or is_database_away(exc):
        return _of_database(exc)
    return _of_domain(exc)


def _of_domain(exc: Exception) -> Refusal | None:
    found = status_of(exc)
    if found is None:
        return None
    headers = dict(getattr(exc, "headers", {}))
    if hasattr(exc, "retry_after_seconds"):
        headers["Retry-After"] = str(exc.retry_after_seconds)
    return Refusal(found[0], found[1], _sentence(str(exc)), getattr(exc, "extra", {}), headers)


def _of_database(exc: Exception) -> Refusal | None:
    if not is_database_away(exc):
        return None  # a constraint that no service turned into a refusal is a bug: a 500
    count_database_error(exc)
    logger.error("The database is away.", exc_info=exc)
    return Refusal(503, headers={"Retry-After": RETRY_AFTER_SECONDS})


def _of_fields(exc: exceptions.ValidationError) -> Refusal:
    errors: dict[str, list[str]] = {}
    for name, message in flattened(exc.detail):
        errors.setdefault(name or "non_field_errors", []).append(_sentence(message))
    name, messages = next(iter(errors.items()), ("non_field_errors", ["The request is invalid."]))
    detail = messages[0] if name.rpartition(".")[2] == "non_field_errors" else f"{name}: {messages[0]}"
    return Refusal(400, "invalid", detail, {"errors": errors})


def _of_framework(exc: exceptions.APIException) -> Refusal:
    detail: Any = exc.detail
    code: Any = exc.get_codes()
    if isinstance(detail, dict):  # simplejwt's way
        code, detail = detail.get("code", exc.default_code), detail.get("detail", exc.default_detail)
    status = 401 if isinstance(exc, exceptions.NotAuthenticated | exceptions.AuthenticationFailed) else exc.status_code
    code = "malformed_json" if isinstance(exc, exceptions.ParseError) else str(code)
    headers = {"Retry-After": RETRY_AFTER_SECONDS} if status == 503 else {}
    if status == 500:
        return Refusal(500)
    return Refusal(status, code, _sentence(str(detail)), getattr(exc, "extra", {}), headers)


def _word_as_limit(refusal: Refusal, request: Any) -> None:
    """Set the same sentence for every 429, whichever limit was reached, and when to retry."""
    refusal.code, refusal.detail = WORDS_BY_STATUS[429]
    refusal.extra = {}
    count = count_of(request._request)
    refusal.headers.setdefault("Retry-After", str(count.reset_seconds) if count else RETRY_AFTER_SECONDS)


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _plain_numbers(extra: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) if isinstance(value, Decimal) else value for name, value in extra.items()}

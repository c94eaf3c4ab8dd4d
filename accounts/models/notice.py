"""Notices to customers, by email and by webhook, written in the transaction of the event that they report."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models import Q

from accounts.models.user import User

# Every type of notice. Customers choose among them, so the names are public: add, never rename.
NOTICE_TYPES = {
    "account.email_changed": "The account has another email address.",
    "account.password_changed": "The account has another password.",
    "account.password_reset": "A link to set a new password is sent.",
    "account.recovery_code_used": "Somebody signed in with a recovery code.",
    "account.second_factor_changed": "A second factor of the account was added, removed or reset.",
    "account.sign_in_failures": "Somebody tried too often to sign in with a wrong password or second factor.",
    "api_key.created": "There is a new API key of the account.",
    "auto_reload.cap_reached": "Auto-reload has reached the customer's monthly cap.",
    "auto_reload.disabled": "Auto-reload was turned off, by somebody or after too many failures.",
    "auto_reload.failed": "An automatic purchase of credits was refused.",
    "auto_reload.requires_action": "The bank wants the customer to confirm an automatic purchase.",
    "auto_reload.succeeded": "Credits were bought automatically.",
    "balance.depleted": "Nothing is left to spend.",
    "balance.low": "What is left fell below the customer's threshold.",
    "balance.recovered": "There are more credits than the threshold again.",
    "balance.runway_low": "At the burn rate of late, credits last fewer days than the customer's threshold.",
    "dispute.answered": "Staff answered a dispute of a debit.",
    "dispute.opened": "A debit was disputed.",
    "dispute.rejected": "Staff rejected a dispute of a debit.",
    "dispute.resolved": "A dispute of a debit was resolved, and credits were returned.",
    "dispute.withdrawn": "A dispute of a debit was withdrawn.",
    "grant.expiring": "Credits are about to expire.",
    "payment.disputed": "A payment was disputed at the customer's bank.",
    "top_up.failed": "A purchase of credits failed.",
    "top_up.receipt": "The receipt of a purchase is sent again, by email alone.",
    "top_up.succeeded": "Credits were bought.",
    "webhook.disabled": "A webhook endpoint was turned off, because nothing could be delivered to it.",
    "webhook.test": "Somebody tried a webhook endpoint out.",
}
# Notices to staff about their work: emails alone, which no customer can choose.
STAFF_NOTICE_TYPES = {
    "adjustment.decided": "An adjustment that a member of staff asked for was approved or rejected.",
    "adjustment.requested": "An adjustment waits for a second person.",
}


class NoticeQuerySet(models.QuerySet["Notice"]):
    def of(self, user_id: int) -> NoticeQuerySet:
        return self.filter(user_id=user_id)

    def newest_first(self) -> NoticeQuerySet:
        return self.order_by("-id")


class Notice(models.Model):
    """One notice to a customer, sent once and written in the transaction of the event that it reports."""

    user = models.ForeignKey(
        User, on_delete=models.PROTECT, db_index=False, related_name="notices", help_text="Who is told."
    )
    type = models.CharField(max_length=64, help_text="What kind of thing, as a dotted word such as balance.low.")
    key = models.CharField(max_length=255, help_text="What makes it one of a kind: the same thing is told once.")
    message_id = models.UUIDField(
        db_default=RandomUUID(), editable=False, help_text="Its name in webhooks, the same at every attempt."
    )
    data = models.JSONField(help_text="The particulars, as webhooks carry them.")
    subject = models.CharField(max_length=200, null=True, help_text="Subject of the email; empty: no email.")
    body = models.TextField(null=True, help_text="Text of the email.")
    email_to = models.EmailField(
        max_length=254, null=True, help_text="Where the email goes; empty: to the address that the account has by then."
    )
    created_at = models.DateTimeField(help_text="When it happened.")
    email_due_at = models.DateTimeField(null=True, help_text="When the email is to be sent or tried again.")
    email_tries = models.SmallIntegerField(db_default=0, default=0, help_text="How often sending it was begun.")
    emailed_at = models.DateTimeField(null=True, help_text="When the mail server took the email.")

    objects = NoticeQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "type", "key"], name="a_thing_is_told_once"),
            models.CheckConstraint(
                condition=Q(type__regex=r"^[a-z_]+(\.[a-z_]+)+$"), name="notice_type_is_a_dotted_word"
            ),
            models.CheckConstraint(
                condition=Q(subject__isnull=True, body__isnull=True, email_due_at__isnull=True, emailed_at__isnull=True)
                | Q(subject__isnull=False, body__isnull=False),
                name="only_a_notice_with_a_text_is_emailed",
            ),
            models.CheckConstraint(
                condition=Q(email_due_at__isnull=True) | Q(emailed_at__isnull=True),
                name="an_email_that_was_sent_is_not_due",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["user", "id"], name="notices_of_user"),
            models.Index(fields=["email_due_at"], name="notices_to_email", condition=Q(email_due_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.key}"

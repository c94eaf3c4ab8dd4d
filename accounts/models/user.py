"""People who sign in: customers and staff alike."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models.functions import Lower, Reverse
from django.utils import timezone

from accounts.emails import canonical_email
from accounts.models.limits import MOST_CALLS_PER_MINUTE, RATE_BOUNDS

_REVERSED_LAST_WORD = models.Func(
    Reverse("full_name"),
    models.Value(" "),
    models.Value(1),
    function="split_part",
    output_field=models.TextField(),
)
LAST_WORD_OF_NAME = Lower(Reverse(_REVERSED_LAST_WORD))


class UserQuerySet(models.QuerySet["User"]):
    def with_email(self, email: str) -> UserQuerySet:
        """Narrow to the user with this address in any form; the database ignores case."""
        named = models.Value(canonical_email(email))
        return self.alias(email_lower=Lower("email")).filter(email_lower=Lower(named))

    def beginning_with(self, text: str, *, most: int) -> UserQuerySet:
        """Return at most `most` users whose email, name or last word of the name begins so, ignoring case.

        Each of the three is read by its own index and stops at `most`, however many begin so.
        """
        beginning = Lower(models.Value(text))
        named = [
            self.alias(part=part).filter(part__startswith=beginning)[:most]
            for part in (Lower("email"), Lower("full_name"), LAST_WORD_OF_NAME)
        ]
        return named[0].union(*named[1:])[:most]

    def with_emails(self, emails: Collection[str]) -> UserQuerySet:
        """Narrow to the users with these addresses, which must be canonical and in lower case."""
        return self.alias(email_lower=Lower("email")).filter(email_lower__in=emails)


class UserManager(BaseUserManager["User"]):
    def get_queryset(self) -> UserQuerySet:
        return UserQuerySet(self.model, using=self._db)

    def with_email(self, email: str) -> UserQuerySet:
        return self.get_queryset().with_email(email)

    def with_emails(self, emails: Collection[str]) -> UserQuerySet:
        return self.get_queryset().with_emails(emails)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.with_email(username or "").get()

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Create a user; without a password, one can only be set by a reset link.

        :raises IntegrityError: if the address is taken, ignoring case
        """
        user = self.model(email=canonical_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db, force_insert=True)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """One person who can sign in, identified by an email address."""

    email = models.EmailField(
        max_length=254, unique=True, help_text="Login name, kept as typed and compared without case."
    )
    full_name = models.CharField(max_length=200, blank=True, help_text="As the person writes it; may be empty.")
    is_active = models.BooleanField(
        default=True, help_text="Cleared to deactivate: tokens, keys and logins of this person stop at once."
    )
    is_staff = models.BooleanField(default=False, help_text="May sign in to the back office.")
    created_at = models.DateTimeField(default=timezone.now, editable=False, help_text="When the account was made.")
    email_verified_at = models.DateTimeField(
        null=True, editable=False, help_text="When the person showed that they read this address; empty: not yet."
    )
    rate_limit_per_minute = models.IntegerField(
        null=True,
        blank=True,
        validators=RATE_BOUNDS,
        help_text="Calls a minute that this person may make when signed in; empty: the site's default. "
        "Each API key has a limit of its own.",
    )

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = UserManager()

    class Meta:
        permissions: ClassVar = [
            ("export_user", "Can export users"),
            ("change_email", "Can change the email of users"),
            ("set_password", "Can set the password of users"),
            ("send_password_reset", "Can send users a link to set a new password"),
            ("verify_email", "Can verify the email of users by hand"),
            ("reset_second_factor", "Can remove the second factors of users who have lost them"),
        ]
        indexes: ClassVar = [
            # The search of the back office, by how a text begins.
            models.Index(OpClass(Lower("email"), "text_pattern_ops"), name="users_by_start_of_email"),
            models.Index(OpClass(Lower("full_name"), "text_pattern_ops"), name="users_by_start_of_name"),
            models.Index(OpClass(LAST_WORD_OF_NAME, "text_pattern_ops"), name="users_by_last_word_of_name"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(Lower("email"), name="user_email_is_unique_without_case"),
            models.CheckConstraint(
                condition=models.Q(rate_limit_per_minute__range=(1, MOST_CALLS_PER_MINUTE)),
                name="rate_limit_of_an_account_lets_some_call_pass",
            ),
        ]

    def __str__(self) -> str:
        return self.email

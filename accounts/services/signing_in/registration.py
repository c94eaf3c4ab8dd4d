"""New people: those who register, and those created by an operator."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.emails import canonical_email, validate_claim, validate_mailbox, validate_name
from accounts.errors import EmailTaken, FieldsRefused, RegistrationClosed
from accounts.models import User
from accounts.services.signing_in.passwords import refuse_weak_password


def register(*, email: str, password: str, full_name: str, admit: Callable[[], None] | None = None) -> User:
    """Create an account for a person who registers.

    `admit` is called when all else is valid, before the password is hashed, which is costly; it raises to refuse.

    :raises RegistrationClosed: if registration is turned off
    :raises FieldsRefused, EmailTaken, PasswordTooWeak: if a value is invalid
    """
    if not settings.REGISTRATION_OPEN:
        raise RegistrationClosed
    try:
        validate_claim(email)
    except ValidationError as refusal:
        raise FieldsRefused({"email": refusal.messages}) from None
    refuse_weak_password(password, user=User(email=email, full_name=full_name), field="password")
    return create_customer(email=email, full_name=full_name, password=password, admit=admit)


def create_customer(
    *, email: str, full_name: str, password: str | None = None, admit: Callable[[], None] | None = None
) -> User:
    """Create an account; without a password, one can only be set by a reset link.

    The caller checks how strong the password is. `admit` is as for `register`.

    :raises FieldsRefused: if the email or the name is invalid or too long
    :raises EmailTaken: if another person has it, ignoring case; also when two calls race
    """
    email, full_name = canonical_email(email), full_name.strip()
    refuse_person(email=email, full_name=full_name)
    if User.objects.with_email(email).exists():  # before the costly hash; the unique index decides a race
        raise EmailTaken
    if admit is not None:
        admit()
    user = User(email=email, full_name=full_name)
    user.set_password(password)  # outside of any transaction: it is slow
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError:
        if User.objects.with_email(email).exists():
            raise EmailTaken from None
        raise
    return user


def refuse_person(*, email: str, full_name: str) -> None:
    """Refuse an email that cannot receive mail, a name with hidden characters, and values that are too long.

    :raises FieldsRefused: naming each field with its sentences
    """
    errors: dict[str, list[str]] = {}
    try:
        User(email=email, full_name=full_name).clean_fields(exclude=["password"])
    except ValidationError as refusal:
        errors.update(refusal.message_dict)
    for field, validate, value in (("email", validate_mailbox, email), ("full_name", validate_name, full_name)):
        try:
            validate(value)
        except ValidationError as refusal:
            errors.setdefault(field, refusal.messages)
    if errors:
        raise FieldsRefused(errors)

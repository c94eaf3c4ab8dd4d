"""Forms of the back office about people and their keys."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any, ClassVar

from django import forms
from django.contrib.auth.forms import AdminPasswordChangeForm, AdminUserCreationForm, UserChangeForm
from django.db import transaction
from django.utils import timezone

from accounts.emails import canonical_email, validate_mailbox, validate_name
from accounts.models import MOST_CALLS_PER_MINUTE, Scope, User
from accounts.services.keys.api_keys import LONGEST_NAME
from accounts.services.signing_in.passwords import LONGEST_NEW_PASSWORD, store_password
from config.backoffice.credits import CreditsField
from config.backoffice.once_form import OnceForm, ReasonForm

_LONGEST_LIFE = dt.timedelta(days=36_500)


class _Person:
    """Validates and canonicalizes the email and name; unchanged values are not validated again."""

    cleaned_data: dict[str, Any]
    changed_data: list[str]

    def clean_email(self) -> str:
        email = canonical_email(self.cleaned_data["email"])
        if "email" in self.changed_data:
            validate_mailbox(email)
        return email

    def clean_full_name(self) -> str:
        name: str = self.cleaned_data["full_name"]
        if "full_name" in self.changed_data:
            validate_name(name)
        return name


class NewUserForm(_Person, AdminUserCreationForm):  # type: ignore[type-arg]
    """A new person, with or without a password."""

    class Meta:
        model = User
        fields = ("email", "full_name")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        limit_password_length(self, "password1", "password2")


class UserForm(_Person, UserChangeForm):  # type: ignore[type-arg]
    """The fields of a person that staff may change; the password has its own page."""

    class Meta:
        model = User
        fields = ("email", "full_name", "is_active", "is_staff", "is_superuser", "groups", "rate_limit_per_minute")
        widgets: ClassVar = {"groups": forms.CheckboxSelectMultiple}  # a handful of roles


class NewPasswordForm(AdminPasswordChangeForm):  # type: ignore[type-arg]
    """A new password for a person, or none."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        limit_password_length(self, "password1", "password2")

    def save(self, commit: bool = True) -> User:  # noqa: FBT001, FBT002  as Django calls it
        """Save the password alone, since other columns may have changed concurrently, and notify the person."""
        user: User = super().save(commit=False)
        if commit:
            with transaction.atomic():
                stored = User.objects.select_for_update(no_key=True).get(pk=user.pk)
                store_password(user=stored, encoded=user.password, now=timezone.now(), is_by_staff=True)
        return user


class VerifyEmailForm(ReasonForm):
    """That a person reads an address, which was shown when the form was first shown."""

    email = forms.CharField(max_length=254, widget=forms.HiddenInput)


class KeyLimitsForm(forms.Form):
    """The new limits of one key."""

    rate_limit_per_minute = forms.IntegerField(
        required=False,
        label="Calls a minute",
        min_value=1,
        max_value=MOST_CALLS_PER_MINUTE,
        help_text="How often it may call. Empty: the site’s default; a service key then may call as often as it likes.",
    )
    spending_limit = CreditsField(
        required=False,
        label="Spending limit",
        help_text="Credits that may be spent with it until the count starts anew. Empty: no limit.",
    )
    spending_reset_day = forms.IntegerField(
        label="Count anew on day",
        min_value=1,
        max_value=31,
        initial=1,
        help_text="Of each month, at midnight UTC; in a shorter month on its last day.",
    )

    def __init__(self, *args: Any, of_service: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        if of_service:  # a service key spends the credits of customers
            del self.fields["spending_limit"], self.fields["spending_reset_day"]


class IssueKeyForm(OnceForm):
    """A new API key. A form submitted twice issues one key."""

    name = forms.CharField(
        max_length=LONGEST_NAME, help_text="What it is for, such as “Production”.", widget=forms.TextInput
    )
    scopes = forms.MultipleChoiceField(widget=forms.CheckboxSelectMultiple)
    last_day = forms.DateField(
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text="It works to the end of this day (UTC). Empty: until it is revoked.",
    )

    def __init__(self, *args: Any, allowed: Collection[Scope], today: dt.date, **options: Any) -> None:
        super().__init__(*args, **options)
        self.today = today
        scopes = self.fields["scopes"]
        assert isinstance(scopes, forms.MultipleChoiceField)  # noqa: S101  for the type checker
        scopes.choices = [(scope.value, f"{scope.value}: {scope.label}") for scope in allowed]
        scopes.initial = [scope.value for scope in allowed]

    def clean_last_day(self) -> dt.date | None:
        last_day: dt.date | None = self.cleaned_data["last_day"]
        if last_day is not None and last_day < self.today:
            raise forms.ValidationError("That day is over: the key would have expired already.")
        if last_day is not None and last_day > self.today + _LONGEST_LIFE:
            raise forms.ValidationError("At most a hundred years from now; leave it empty for a key without an end.")
        return last_day

    def expires_at(self) -> dt.datetime | None:
        """Return when the key expires: the start of the day after the last; None if it does not expire."""
        last_day: dt.date | None = self.cleaned_data["last_day"]
        return None if last_day is None else dt.datetime.combine(last_day + dt.timedelta(days=1), dt.time(), dt.UTC)


def limit_password_length(form: forms.BaseForm, *names: str) -> None:
    """Limit a form's passwords to the length that the API accepts."""
    for name in names:
        field = form.fields[name]
        if isinstance(field, forms.CharField):
            field.validators.append(forms.CharField(max_length=LONGEST_NEW_PASSWORD).validators[0])

"""Forms of the back office about people and their subscriptions."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AdminPasswordChangeForm, AdminUserCreationForm, UserChangeForm

from accounts.models import Subscription, User
from accounts.models.plan import LIVE_STATUSES
from accounts.services.passwords import LONGEST_NEW_PASSWORD


class NewUserForm(AdminUserCreationForm):  # type: ignore[type-arg]
    """A new person, with a password or, for the time being, without."""

    class Meta:
        model = User
        fields = ("email", "full_name")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _bound_passwords(self)


class UserForm(UserChangeForm):  # type: ignore[type-arg]
    """What staff may change about a person; the password has a page of its own."""

    class Meta:
        model = User
        fields = ("email", "full_name", "is_active", "is_staff", "is_superuser", "groups")


class NewPasswordForm(AdminPasswordChangeForm):  # type: ignore[type-arg]
    """Another password for a person, or none."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _bound_passwords(self)

    def save(self, commit: bool = True) -> User:  # noqa: FBT001, FBT002  as Django calls it
        """Save the password and nothing else: the rest of the row may have changed meanwhile."""
        user: User = super().save(commit=False)
        if commit:
            user.save(update_fields=["password"])
        return user


class SubscriptionForm(forms.ModelForm):  # type: ignore[type-arg]
    """A customer's time on a plan, with the database's rules in sentences."""

    class Meta:
        model = Subscription
        fields = "__all__"  # noqa: DJ007  the admin says which and in what order

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        start, end = cleaned.get("current_period_start"), cleaned.get("current_period_end")
        if start and end and end <= start:
            self.add_error("current_period_end", "The period must end after it starts.")
        if cleaned.get("user") and cleaned.get("status") in LIVE_STATUSES:
            others = Subscription.objects.filter(user=cleaned["user"], status__in=LIVE_STATUSES)
            if others.exclude(pk=self.instance.pk).exists():
                self.add_error("user", "This customer has a running subscription already; end that one first.")
        return cleaned


def _bound_passwords(form: forms.BaseForm) -> None:
    for name in ("password1", "password2"):
        field = form.fields[name]
        if isinstance(field, forms.CharField):
            field.validators.append(forms.CharField(max_length=LONGEST_NEW_PASSWORD).validators[0])

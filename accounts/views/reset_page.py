"""The page behind an emailed link, where its holder sets a new password."""

from __future__ import annotations

from django import forms
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from accounts.errors import PasswordTooWeak, TokenInvalid
from accounts.reset_tokens import user_of_reset_token
from accounts.services.signing_in.password_reset import reset_password
from accounts.services.signing_in.passwords import LONGEST_NEW_PASSWORD


class ResetForm(forms.Form):
    """A new password, typed twice."""

    new_password = forms.CharField(
        label="New password",
        max_length=LONGEST_NEW_PASSWORD,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "autofocus": True}),
    )
    again = forms.CharField(
        label="New password again",
        max_length=LONGEST_NEW_PASSWORD,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    revoke_keys = forms.BooleanField(
        label="Revoke all my API keys, too: somebody else may have had access", required=False
    )

    def clean_again(self) -> str:
        again: str = self.cleaned_data["again"]
        if again != self.cleaned_data.get("new_password", again):
            raise forms.ValidationError("The two passwords differ.")
        return again


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def reset_page(request: HttpRequest, token: str) -> HttpResponse:
    """Show the form and set the password on POST; a link that is no longer valid shows a 404."""
    now = timezone.now()
    form = ResetForm(request.POST if request.method == "POST" else None)
    try:
        user_of_reset_token(token, now=now)
        if form.is_valid():
            asked = form.cleaned_data
            reset_password(token=token, new=asked["new_password"], revoke_keys=asked["revoke_keys"], now=now)
            return _page(request, {"is_done": True})
    except PasswordTooWeak as refusal:
        form.add_error("new_password", refusal.errors["new_password"])
    except TokenInvalid:
        return _page(request, {"is_over": True}, status=404)
    return _page(request, {"form": form})


def _page(request: HttpRequest, context: dict[str, object], status: int = 200) -> HttpResponse:
    return TemplateResponse(request, "reset_password.html", context, status=status)

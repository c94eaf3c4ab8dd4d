"""Forms of models that change rights: saving one requires a recent sign-in, as staff actions that move money do."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from config.backoffice.model_admin import ModelAdmin
from config.http.sign_in_records import require_recent_sign_in


class NeedsRecentSignIn(ModelAdmin):
    """Ask the viewer to confirm who they are before a form is saved, if they signed in some time ago."""

    def changes_rights(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Return whether this viewer's form may change rights."""
        return True

    def changeform_view(self, request: HttpRequest, *args: Any, **named: Any) -> Any:
        """Show or save the form.

        :raises ReauthenticationRequired: if it is sent and the viewer signed in some time ago
        """
        if request.method == "POST" and self.changes_rights(request):
            require_recent_sign_in(request, has_secrets="password1" in request.POST)
        return super().changeform_view(request, *args, **named)

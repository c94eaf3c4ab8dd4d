"""Search by API key. A pasted key must not appear in a URL, which servers and proxies log."""

from __future__ import annotations

import re
from typing import Any

from django.contrib import messages
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict

from accounts import key_format
from accounts.models import ApiKey
from config.backoffice.model_admin import ModelAdmin
from config.backoffice.record import record_search

PUBLIC_LENGTH = len(key_format.KEY_START) + key_format.PREFIX_LENGTH
_LONGEST_TERM = 254
_PREFIX = re.compile(rf"[0-9A-Za-z]{{{key_format.PREFIX_LENGTH}}}")


class KeySearch(ModelAdmin):
    """A list whose search form is sent by POST; its URL contains at most the public part of a key."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "POST" and SEARCH_VAR in request.POST and "action" not in request.POST:
            return self._search(request, request.POST)
        if is_beyond_prefix(request.GET.get(SEARCH_VAR, "")):
            return self._search(request, request.GET)
        return super().changelist_view(request, extra_context)

    def _search(self, request: HttpRequest, asked: QueryDict) -> HttpResponse:
        """Redirect to the list of search results; a whole key is looked up by its hash first."""
        term = asked.get(SEARCH_VAR, "").strip()[:_LONGEST_TERM]
        address = asked.copy()
        for name in ("csrfmiddlewaretoken", PAGE_VAR):
            address.pop(name, None)
        if is_beyond_prefix(term):
            is_known = ApiKey.objects.filter(key_hash=key_format.hash_of(term)).exists()
            record_search(request, f"{term[:PUBLIC_LENGTH]}…", found=int(is_known))
            if not is_known:
                messages.warning(
                    request,
                    "No key of this site is exactly the one pasted: it is mistyped, cut off or foreign."
                    " Shown is what its public part finds.",
                )
            term = term[:PUBLIC_LENGTH]
        address[SEARCH_VAR] = term
        return HttpResponseRedirect(f"{request.path}?{address.urlencode()}")


def keys_with_prefix(term: str) -> Q | None:
    """Return the filter for keys whose public prefix is `term`, with or without tb_live_; None if it is no prefix."""
    prefix = term.removeprefix(key_format.KEY_START)[: key_format.PREFIX_LENGTH]
    if term.startswith(key_format.KEY_START):
        return Q(prefix=prefix)
    return Q(prefix=term) if _PREFIX.fullmatch(term) else None


def is_beyond_prefix(term: str) -> bool:
    """Return whether a text starts like a key and contains part of its secret."""
    term = term.strip()
    return term.startswith(key_format.KEY_START) and len(term) > PUBLIC_LENGTH

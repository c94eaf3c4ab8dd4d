"""The one search of the back office: straight to the thing, or to a short list by kind.

The term is sent in the body of a POST and stands in no address and no log: it may be a whole API key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib.admin import AdminSite
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.cache import add_never_cache_headers
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from config.backoffice.exact_search import customers_in
from config.backoffice.record import record_search
from config.backoffice.search.finders import MOST_SHOWN, Finder, Hit, Term, finders
from config.values.text import INVALID_TEXT, is_invalid_text

LONGEST_TERM = 254
_METHODS = ("GET", "HEAD", "POST")


class TermField(forms.CharField):
    """One line of text; what the database cannot store is refused in our own words."""

    def run_validators(self, value: str) -> None:
        if is_invalid_text(value):
            raise ValidationError(INVALID_TEXT)
        super().run_validators(value)


class SearchForm(forms.Form):
    term = TermField(
        max_length=LONGEST_TERM,
        error_messages={
            "required": "Write what to search for: an email, a name, an id, a reference, a key.",
            "max_length": f"A search takes at most {LONGEST_TERM} characters: give the id or reference alone.",
        },
    )


@dataclass(frozen=True)
class Group:
    """What was found of one kind."""

    finder: Finder
    hits: list[Hit]
    has_more: bool


@dataclass(frozen=True)
class Search:
    """A term as it is searched for: by which finders, and what of it may be shown and recorded."""

    term: Term
    asked: tuple[Finder, ...]
    public: str
    is_claimed: bool = False


@sensitive_post_parameters("term")
@sensitive_variables("term", "search", "form")
def search_page(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Show the form; on POST, redirect to the only thing that was found, or list what was."""
    if request.method not in _METHODS:
        return HttpResponseNotAllowed(_METHODS)
    if request.method != "POST":
        return _page(request, site)
    form = SearchForm(request.POST)
    if not form.is_valid():
        return _page(request, site, errors=form.errors["term"])
    search = _read(form.cleaned_data["term"], _allowed(request))
    groups = _found(search)
    _record(request, search, groups)
    only = groups[0].hits if len(groups) == 1 else []
    if len(only) == 1:
        return HttpResponseRedirect(only[0].url)
    return _page(request, site, search=search, groups=groups)


def _allowed(request: HttpRequest) -> tuple[Finder, ...]:
    return tuple(finder for finder in finders if request.user.has_perm(finder.permission))


@sensitive_variables()
def _read(text: str, allowed: tuple[Finder, ...]) -> Search:
    """Read a term: a text that one finder claims, a kind before it, a customer's email beside it."""
    for finder in finders:  # a secret is claimed even if the viewer may not look for it
        public = finder.claims(text)
        if public is not None:
            asked = (finder,) if finder in allowed else ()
            return Search(Term(text), asked, public, is_claimed=True)
    word, _, rest = text.partition(" ")
    of_a_kind = tuple(finder for finder in allowed if finder.word == word.lower())
    if of_a_kind and rest.strip():
        return Search(Term(rest.strip(), is_only_id=Term(rest.strip()).id is not None), of_a_kind, text)
    customers, rest = customers_in(text)
    if customers is None:
        return Search(Term(text), allowed, text)
    if rest:
        return Search(Term(rest, tuple(customers)), allowed, text)
    return Search(Term(text), tuple(finder for finder in allowed if finder.is_of_people) or allowed, text)


@sensitive_variables()
def _found(search: Search) -> list[Group]:
    groups = []
    for finder in search.asked:
        hits = list(finder.find(search.term))
        if hits:
            groups.append(Group(finder, hits[:MOST_SHOWN], has_more=len(hits) > MOST_SHOWN))
    return groups


def _record(request: HttpRequest, search: Search, groups: list[Group]) -> None:
    """Record a search by key, with its public part only."""
    if search.is_claimed or any(group.finder.is_recorded for group in groups):
        record_search(request, search.public, found=sum(len(group.hits) for group in groups))


def _limits(search: Search | None) -> list[Finder]:
    """Return the finders whose limits tell that something may be there that was not found."""
    if search is None or search.is_claimed or search.term.is_only_id:
        return []
    return [finder for finder in search.asked if finder.limits]


def _page(request: HttpRequest, site: AdminSite, **more: Any) -> HttpResponse:
    search: Search | None = more.get("search")
    context = {
        **site.each_context(request),
        "title": "Search",
        "finders": _allowed(request),
        "searched_for": "" if search is None else search.public,
        "limits": _limits(search),
        "most_shown": MOST_SHOWN,
        **more,
    }
    answer = TemplateResponse(request, "admin/search.html", context)
    add_never_cache_headers(answer)
    return answer

"""An action of staff on one object, with its own page: permissions, form and result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Generic, TypeVar

from django import forms
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from config.backoffice.links import list_url, name_of, page_url
from config.backoffice.record import actor_id
from config.http.sign_in_records import require_recent_sign_in

Target = TypeVar("Target", bound=Model)
Lines = list[tuple[str, str]]  # names and values, as a page shows them
Links = list[tuple[str, str]]  # addresses and labels
_METHODS = ("GET", "HEAD", "POST")


class StaffAction(ABC, Generic[Target]):
    """One action of staff on an object. An instance serves one request.

    GET shows the form, or only a question if there are no fields; POST does the action and redirects.
    """

    name: ClassVar[str]  # of its page: `admin:<app>_<model>_<name>`
    path: ClassVar[str]  # of its page, below the object's
    permission: ClassVar[str]
    needs_view: ClassVar[bool] = False  # whether it requires the permission to view the object
    moves_money: ClassVar[bool] = False  # or changes rights or limits: whether it requires a recent sign-in
    title: ClassVar[str]
    is_dangerous: ClassVar[bool] = False  # ends or stops something: its button stands apart
    button: ClassVar[str]
    form_class: ClassVar[type[forms.Form]] = forms.Form
    template: ClassVar[str] = "admin/staff_action.html"

    def __init__(self, request: HttpRequest, *, target: Target, site: AdminSite) -> None:
        self.request, self.target, self.site = request, target, site

    @classmethod
    def view(cls, request: HttpRequest, *, target: Target | None, site: AdminSite) -> HttpResponse:
        """Show the page of this action, or do it on POST.

        :raises PermissionDenied: if the viewer may not do this, or not to this object
        :raises Http404: if there is no such object
        :raises ReauthenticationRequired: if it moves money and the viewer signed in some time ago
        """
        if request.method not in _METHODS:
            return HttpResponseNotAllowed(_METHODS)
        if not request.user.has_perm(cls.permission):
            raise PermissionDenied
        if target is None:
            raise Http404
        if not cls.may_act_on(request.user, target):
            raise PermissionDenied
        if cls.moves_money:
            require_recent_sign_in(request)
        action = cls(request, target=target, site=site)
        return action.take() if request.method == "POST" else action.page(action.first_form())

    # --- Permissions and links ---

    @classmethod
    @abstractmethod
    def may_act_on(cls, viewer: Any, target: Target) -> bool:
        """Return whether this member of staff may do it to this object, given the permission."""

    @classmethod
    def applies_to(cls, target: Target) -> bool:  # noqa: ARG003
        """Return whether the action applies to this object; only then the link is shown."""
        return True

    @classmethod
    def label(cls, target: Target) -> str:  # noqa: ARG003
        """Return the label of the link on the object's page."""
        return cls.title

    @classmethod
    def url(cls, target: Target) -> str:
        return reverse(f"admin:{name_of(target)}_{cls.name}", args=[target.pk])

    @classmethod
    def is_offered(cls, viewer: Any, target: Target) -> bool:
        return bool(viewer.has_perm(cls.permission)) and cls.may_act_on(viewer, target) and cls.applies_to(target)

    # --- The texts and the form ---

    def heading(self, form: Any) -> str:  # noqa: ARG002
        return self.title

    def named(self) -> str:
        """Return the object's name."""
        return str(self.target)

    def figures(self) -> Lines:
        """Return the facts to show above the form."""
        return []

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        """Return sentences about what this does; an empty line separates paragraphs."""
        return ""

    def initial(self) -> dict[str, Any]:
        """Return the form's initial values."""
        return {}

    def form_options(self) -> dict[str, Any]:
        """Return further arguments of the form."""
        return {}

    def first_form(self) -> Any:
        return self.form_class(initial=self.initial(), **self.form_options())

    def sent_form(self) -> Any:
        return self.form_class(self.request.POST, **self.form_options())

    # --- Doing it ---

    @property
    def actor_id(self) -> int:
        return actor_id(self.request)

    def take(self) -> HttpResponse:
        """Handle a submitted form: do the action, or show the form again with its errors."""
        form = self.sent_form()
        return self.do(form) if form.is_valid() else self.page(form)

    @abstractmethod
    def do(self, form: Any) -> HttpResponse:
        """Do the action of a valid form, write it to the staff log, and report the result."""

    def redirect(self) -> HttpResponse:
        """Redirect to a page that can be reloaded safely."""
        return HttpResponseRedirect(self.target_url() if self.may_see_target() else self.request.path)

    # --- The page ---

    def page(self, form: Any, **more: Any) -> HttpResponse:
        return TemplateResponse(self.request, self.template, {**self.context(form), **more})

    def context(self, form: Any) -> dict[str, Any]:
        return {
            **self.site.each_context(self.request),
            "title": self.heading(form),
            "subtitle": self.named(),
            "opts": self.target._meta,
            "list_url": list_url(name_of(self.target)),
            "target_url": self.target_url(),
            "back_url": self.back_url(),
            "form": form,
            "form_key": form["form_key"].value() if "form_key" in form.fields else None,
            "figures": self.figures(),
            "explanation": self.explanation(form),
            "button": self.button,
        }

    def target_url(self) -> str:
        return page_url(name_of(self.target), self.target.pk)

    def back_url(self) -> str:
        """Return the URL for leaving the form."""
        return self.target_url() if self.may_see_target() else reverse("admin:index")

    def may_see_target(self) -> bool:
        opts, viewer = self.target._meta, self.request.user
        return any(viewer.has_perm(f"{opts.app_label}.{verb}_{opts.model_name}") for verb in ("view", "change"))


def links_to(actions: Iterable[type[StaffAction[Any]]], viewer: Any, target: Model) -> Links:
    """Return the URL and label of each action that this member of staff may do to this object now."""
    return [(action.url(target), action.label(target)) for action in actions if action.is_offered(viewer, target)]

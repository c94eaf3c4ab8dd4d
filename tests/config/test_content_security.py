"""The Content-Security-Policy: pages may load our own files and nothing else; data may load nothing."""

import re

import pytest
from django.conf import settings
from django.template.loader import get_template

from tests.backoffice import signed_in, superuser
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
FOR_DATA = {"default-src": "'none'", "frame-ancestors": "'none'"}
INLINE = re.compile(
    r"""<style|\sstyle=|\son[a-z]+=["']|javascript:|<script(?![^>]*\ssrc=)(?![^>]*type="application/json")"""
)


def policy_of(answer):
    given = answer.headers["Content-Security-Policy"]
    return dict(directive.strip().split(" ", 1) for directive in given.split(";"))


@pytest.mark.parametrize("path", ["/", "/api/docs", "/admin/login/", "/admin/nothing/"])
def test_pages_load_our_own_files_only_and_nothing_inline(client, path):
    policy = policy_of(client.get(path))

    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["form-action"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert not [name for name, sources in policy.items() if "unsafe" in sources or "http" in sources or "*" in sources]


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/api/schema", "/auth/account/credits", "/v2/account/summary", "/nothing"]
)
def test_data_loads_nothing(client, path):
    assert policy_of(client.get(path)) == FOR_DATA


def test_errors_and_redirects_have_a_policy_too(client):
    assert policy_of(client.post("/auth/login", {}, "application/json")) == FOR_DATA
    assert policy_of(client.get("/admin/"))["default-src"] == "'none'"
    assert policy_of(signed_in(UserFactory()).get("/admin/login/"))["script-src"] == "'self'"


@pytest.mark.parametrize(
    "path",
    ["/", "/api/docs", "/admin/login/", "/admin/", "/admin/ledger/entry/", "/admin/accounts/user/", "/admin/nothing/",
     "/admin/accounts/user/add/", "/admin/accounts/plan/add/", "/admin/usage/price/add/",
     "/admin/accounts/apikey/issue/", "/admin/ledger/entry/export/", "/admin/auth/group/add/"],
)  # fmt: skip
def test_no_page_has_anything_inline(path):
    page = signed_in(superuser()).get(path).content.decode()

    assert not INLINE.search(page), INLINE.search(page)


@pytest.mark.parametrize("name", ["403_csrf.html", "error.html"])
def test_pages_of_errors_have_nothing_inline_either(name):
    assert not INLINE.search(get_template(name).render({"status": 403}))


def test_the_policy_of_the_settings_names_no_host():
    said = str(settings.CONTENT_SECURITY_POLICY)

    assert "//" not in said
    assert "unsafe" not in said

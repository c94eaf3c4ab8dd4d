from __future__ import annotations

import json
import re

import pytest
import yaml

from config import docs


def test_the_document_is_openapi_31_in_yaml(edge):
    answer = edge.get("/api/schema")

    assert answer.headers["Content-Type"].startswith("application/vnd.oai.openapi")
    assert yaml.safe_load(answer.content)["openapi"].startswith("3.1")


@pytest.mark.parametrize(
    ("query", "accept"),
    [
        ("?format=json", ""),
        ("?format=json", "application/yaml"),
        ("", "application/json"),
        ("", "text/html, application/json;q=0.9"),
        ("", "application/vnd.oai.openapi+json"),
    ],
)
def test_it_is_json_when_asked_for(edge, query, accept):
    answer = edge.get(f"/api/schema{query}", HTTP_ACCEPT=accept)

    document = json.loads(answer.content)
    assert "json" in answer.headers["Content-Type"]
    assert {"/livez", "/readyz"} <= set(document["paths"])
    assert not [path for path in document["paths"] if path.endswith("/")]


@pytest.mark.parametrize("query", ["format=xml", "format=", "format=json&format=json", "format=JSON"])
def test_an_unknown_format_is_a_json_400_that_names_it(edge, query):
    answer = edge.get(f"/api/schema?{query}")

    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["format"])


def test_other_query_parameters_are_ignored(edge):
    answer = edge.get("/api/schema?version=1%0Ax&lang=de")

    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"] == 'inline; filename="Tollbook.yaml"'


def test_it_is_made_once_in_each_form(edge):
    docs._document.cache_clear()

    for _ in range(3):
        edge.get("/api/schema")
        edge.get("/api/schema?format=json")

    assert docs._document.cache_info().misses == 2


def test_another_method_is_a_json_405(edge):
    for path in ("/api/schema", "/api/docs"):
        assert edge.post(path).json()["code"] == "method_not_allowed"


def test_the_docs_page_loads_only_our_own_files_and_runs_no_inline_script(edge):
    answer = edge.get("/api/docs")
    page = answer.content.decode()

    assert answer.headers["Content-Type"].startswith("text/html")
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert sources
    assert all(source.startswith("/") and not source.startswith("//") for source in sources)
    assert not re.search(r"<script(?![^>]*src=)", page)
    script = edge.get("/api/docs?script=")
    assert script.headers["Content-Type"].startswith("application/javascript")
    assert "/api/schema" in script.content.decode()


def test_the_landing_page_leads_to_the_docs_and_the_back_office(edge):
    page = edge.get("/").content.decode()

    assert 'href="/api/docs"' in page
    assert 'href="/admin/"' in page
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page)


def test_the_back_offices_path_without_its_slash_leads_there(edge):
    answer = edge.get("/admin")

    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")

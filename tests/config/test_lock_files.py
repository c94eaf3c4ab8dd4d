"""The lock files list every installed package by version and hash, and agree with the requirements."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from django.conf import settings
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(settings.BASE_DIR)
LOCKS = {
    "requirements.lock": ("requirements.txt",),
    "requirements-dev.lock": ("requirements.txt", "requirements-dev.txt"),
}
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
_ADVICE = "run `make lock`"


def wanted(name: str) -> dict[str, Requirement]:
    """Return the packages of a requirements file with their exact versions."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("-r ")]
    return {canonicalize_name(each.name): each for each in found}


def locked(name: str) -> dict[str, tuple[Requirement, int]]:
    """Return the packages of a lock file, and how many hashes each has."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE)
    entries = {}
    for entry in re.split(r"\n(?=\S)", text.replace("\\\n", " ").strip()):
        requirement = Requirement(_HASH.sub("", entry).strip())
        entries[canonicalize_name(requirement.name)] = (requirement, len(_HASH.findall(entry)))
    return entries


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_locked_at_its_version(lock):
    pinned = {name: str(each.specifier) for file in LOCKS[lock] for name, each in wanted(file).items()}
    found = {name: str(requirement.specifier) for name, (requirement, _) in locked(lock).items()}

    assert {name: found.get(name) for name in pinned} == pinned, _ADVICE


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_one_version_and_hashes(lock):
    for requirement, hashes in locked(lock).values():
        assert str(requirement.specifier).startswith("=="), requirement
        assert hashes > 0, requirement


def test_the_lock_files_pin_the_same_versions():
    tested = locked("requirements-dev.lock")

    for name, (requirement, _) in locked("requirements.lock").items():
        assert tested[name][0].specifier == requirement.specifier, f"{name}: {_ADVICE}"


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_that_a_locked_package_requires_is_locked_too(lock):
    packages = locked(lock)
    extras = {name: each.extras for file in LOCKS[lock] for name, each in wanted(file).items()}

    missing = {
        f"{name} requires {needed.name}"
        for name in packages
        for needed in _requirements_of(name, extras.get(name, set()))
        if canonicalize_name(needed.name) not in packages
    }

    assert missing == set(), _ADVICE


@pytest.mark.parametrize("name", [*LOCKS, "requirements.txt", "requirements-dev.txt", "Makefile"])
def test_no_file_names_the_place_that_packages_come_from(name):
    text = (ROOT / name).read_text()

    assert (
        re.findall(r"https?://(?!127\.0\.0\.1)\S+|--(?:extra-)?index-url \S+|--find-links|--trusted-host", text) == []
    )


def _requirements_of(name: str, extras: set[str]) -> list[Requirement]:
    try:
        declared = [Requirement(each) for each in requires(name) or ()]
    except PackageNotFoundError:  # of another platform
        return []
    environments = [{**default_environment(), "extra": extra} for extra in ("", *extras)]
    return [
        each for each in declared if each.marker is None or any(each.marker.evaluate(place) for place in environments)
    ]

"""Colours of the back office: what is read has the contrast of WCAG AA on what it stands on, in both themes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

STYLES = Path(__file__).parents[2] / "config/static/backoffice"
TEXT, MARK = 4.5, 3.0  # WCAG 2.2, 1.4.3 for text, 1.4.11 for borders of fields and the ring of the focus
INKS = ("ink", "soft", "accent", "accent-strong", "bad")
ON_GROUNDS = [(ink, ground) for ink in INKS for ground in ("card", "ground")]
READ = [
    *ON_GROUNDS,
    *((ink, "accent-ground") for ink in ("ink", "accent", "accent-strong")),
    *((ink, "neutral-ground") for ink in ("ink", "soft")),
    *((ink, f"{state}-ground") for state in ("good", "care", "bad") for ink in (state, "ink")),
    *((state, "card") for state in ("good", "care")),
    ("on-accent", "accent"),
    ("on-accent", "accent-strong"),
    ("on-bad", "bad"),
    ("on-bad", "bad-strong"),
]
SEEN = [("edge", "card"), ("edge", "ground"), ("accent", "card"), ("accent", "ground")]


def themes() -> list[dict[str, str]]:
    """Return the colours of each block of tokens.css that has some: light, dark by wish, dark by choice."""
    blocks = re.findall(r"\{([^{}]*)\}", (STYLES / "tokens.css").read_text())
    found = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block)) for block in blocks]
    return [colours for colours in found if colours]


def luminance(colour: str) -> float:
    """Return the relative luminance of `#rrggbb`, as WCAG defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_of_black_on_white_is_21():
    assert round(contrast("#000000", "#ffffff"), 2) == 21


def test_dark_theme_has_one_palette_however_it_is_chosen():
    light, by_wish, by_choice = themes()

    assert by_wish == by_choice
    assert light.keys() == by_wish.keys()


@pytest.mark.parametrize(("pairs", "least"), [(READ, TEXT), (SEEN, MARK)], ids=["text", "marks"])
def test_declared_pairs_have_enough_contrast_in_both_themes(pairs, least):
    too_faint = {
        (theme, front, back): round(contrast(colours[front], colours[back]), 2)
        for theme, colours in zip(("light", "dark"), themes(), strict=False)
        for front, back in pairs
        if contrast(colours[front], colours[back]) < least
    }

    assert too_faint == {}


def test_colours_are_written_in_the_tokens_alone():
    strays = {
        path.name: found
        for path in STYLES.glob("*.css")
        if path.name not in ("tokens.css", "print.css")
        and (found := re.findall(r"#[0-9a-fA-F]{3,8}\b(?=\s*[;}])|rgba?\(", path.read_text()))
    }

    assert strays == {}

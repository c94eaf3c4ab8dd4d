"""The font of documents: WenQuanYi Micro Hei (Apache License 2.0): Latin, Greek, Cyrillic, Chinese, Japanese, Korean.

What it lacks (Arabic, Hebrew, Indic scripts, Thai …) is shown as a box, and the document says so: a name that is
printed wrongly without a word would be worse.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from fontTools.ttLib import TTCollection

FAMILY = "WenQuanYi Micro Hei"
BOX = "\N{WHITE SQUARE}"
_PACKAGE, _FILE = "paperang_p2_fonts_cjk", "fonts/wqy-microhei.ttc"


def font_path() -> Path:
    """Return the font's file."""
    return Path(str(resources.files(_PACKAGE).joinpath(_FILE)))


@cache
def characters() -> frozenset[int]:
    """Return the code points that the font has, read once a process."""
    with TTCollection(font_path(), lazy=True) as collection:
        return frozenset(collection.fonts[0].getBestCmap())


class Printable:
    """Makes texts printable, and remembers what the font lacked."""

    def __init__(self) -> None:
        self.missing: set[str] = set()

    def __call__(self, text: str) -> str:
        """Return a text on one line, with a box for each character that the font lacks."""
        return "".join(self._shown(character) for character in " ".join(text.split()))

    def _shown(self, character: str) -> str:
        if ord(character) in characters():
            return character
        self.missing.add(character)
        return BOX

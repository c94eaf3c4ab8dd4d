"""Requests and responses of the demo company's own API."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from rest_framework import serializers

from config.http.bodies import Body
from config.http.declared import Answer
from config.http.fields import CreditsField, TextField

LONGEST_TEXT = 5_000


class LanguageField(TextField):
    """A language by its two letters."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=2, **kwargs)


class TranslationRequestSerializer(serializers.Serializer[Any]):
    text = TextField(max_length=LONGEST_TEXT, help_text="What to translate.")
    to = LanguageField(help_text="Into which language; all of them look alike here.")


class Translation(NamedTuple):
    """A translated text, what it cost, and what can be spent after it."""

    text: str
    credits: Decimal
    remaining: Decimal


class TranslationSerializer(serializers.Serializer[Translation]):
    text = serializers.CharField(help_text="The text, upside down.")
    credits = CreditsField(help_text="What the request cost.")
    remaining = CreditsField(help_text="What can be spent now.")


TRANSLATED = Answer(TranslationSerializer)
TRANSLATION = Body(TranslationRequestSerializer)

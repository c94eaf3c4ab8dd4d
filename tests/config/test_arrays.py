import uuid
from decimal import Decimal

import pytest
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from config.db.arrays import plain_array, text_array
from config.db.prepared import read_prepared

pytestmark = pytest.mark.django_db
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@settings(max_examples=100, derandomize=True, database=None, deadline=None)
@given(
    texts=st.lists(st.one_of(TEXTS, st.sampled_from(["", "NULL", "null", '"', "\\", "{", "}", ",", " ", "'", "a\nb"])))
)
def test_texts_arrive_as_they_were(texts):
    assert read_prepared("SELECT %s::text[]", [text_array(texts)]) == [(texts,)]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("bigint", [1, None, -(2**62)]),
        ("numeric", [Decimal("1E+2"), Decimal("0.000001"), None]),
        ("timestamptz", [timezone.now()]),
        ("uuid", [uuid.uuid4()]),
        ("boolean", []),
    ],
)
def test_values_that_need_no_quotes_arrive_unchanged(kind, values):
    assert read_prepared(f"SELECT %s::{kind}[]", [plain_array(values)]) == [(values,)]

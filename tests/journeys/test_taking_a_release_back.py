"""A release can be taken back and made again; each such way takes seconds, so the others are in tests/torture."""

from tests.torture.test_there_and_back import (  # noqa: F401  fixtures, and the one test that stands for all
    alice,
    pytestmark,
    test_the_books_are_the_same_afterwards,
    upgrade,
)

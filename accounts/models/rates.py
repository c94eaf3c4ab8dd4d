"""The bounds of a limit that a key or an account has of its own."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator

MOST_CALLS_PER_MINUTE = 1_000_000_000  # they are counted in 32 bits (config/http/rate_windows.py)
RATE_BOUNDS = (MinValueValidator(1), MaxValueValidator(MOST_CALLS_PER_MINUTE))

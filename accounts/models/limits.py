"""The bounds of the limits that a key or an account may have."""

from __future__ import annotations

from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator

MOST_CALLS_PER_MINUTE = 1_000_000_000  # counted in 32 bits (config/http/rate_windows.py)
RATE_BOUNDS = (MinValueValidator(1), MaxValueValidator(MOST_CALLS_PER_MINUTE))
LARGEST_SPENDING_LIMIT = Decimal("999999999.999999")
DAYS_OF_A_MONTH = (MinValueValidator(1), MaxValueValidator(31))

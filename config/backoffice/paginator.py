"""Pages of tables that are too long to count."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.utils.functional import cached_property


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Count up to a cap and list no further: older rows are found by narrowing the list."""

    cap = 10_000

    @cached_property
    def count(self) -> int:
        return int(self.object_list.order_by().values("pk")[: self.cap].count())  # type: ignore[attr-defined]

    @property
    def is_capped(self) -> bool:
        """Return whether there may be more rows than are listed."""
        return self.count >= self.cap

"""The report of a benchmark: printed, and stored in bench.json."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass
class Row:
    """One ratio: the figure, its reference, and the limit it has to keep (`<` or `>`)."""

    name: str
    what: str
    bar: str
    unit: str
    ours: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Return the median of the pairs' ratios, on which a drift of the machine's speed has the least effect."""
        return statistics.median(a / b for a, b in zip(self.ours, self.others, strict=True))

    @property
    def is_reached(self) -> bool:
        sign, bound = self.bar.split()
        return self.ratio <= float(bound) if sign == "<=" else self.ratio >= float(bound)


def paired(row: Row, ours: Callable[[], float], other: Callable[[], float], *, pairs: int) -> Row:
    """Measure both in turn, this many times, alternating which is first."""
    for pair in range(pairs):
        if pair % 2:
            row.others.append(other())
            row.ours.append(ours())
        else:
            row.ours.append(ours())
            row.others.append(other())
    return row


def show(rows: Sequence[Row]) -> None:
    table = Table(title="tollbook bench", caption="ratio: median of pairs, interleaved in one run")
    for column in ("name", "what", "ours", "other", "unit", "ratio", "bar", ""):
        table.add_column(column, justify="right" if column in {"ours", "other", "ratio", "bar"} else "left")
    for row in rows:
        mine, other = statistics.median(row.ours), statistics.median(row.others)
        verdict = "reached" if row.is_reached else "missed"
        table.add_row(row.name, row.what, _short(mine), _short(other), row.unit, f"{row.ratio:.2f}", row.bar, verdict)
    Console(width=150).print(table)


def keep(rows: Sequence[Row], path: Path) -> None:
    """Write bench.json: every measurement, with its place and time."""
    kept = {
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version()},
        "measured_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "rows": {row.name: asdict(row) | {"ratio": round(row.ratio, 3), "is_reached": row.is_reached} for row in rows},
    }
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"

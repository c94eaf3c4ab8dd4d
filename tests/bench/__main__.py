"""`make bench`: each figure beside a limit measured in the same run.

`python -m tests.bench [GROUP …] [--pairs N] [--seconds S]`
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psycopg

from config.postgres.cluster import OWNER_ROLE, Cluster
from tests.bench.charging import charges_a_second
from tests.bench.hot import charge_hot_account
from tests.bench.report import Row, keep, paired, show
from tests.bench.stage import ROOT, pgbench, run_sql, settle, stage

Measure = Callable[[], float]


class Bench:
    """The rows, in the order in which the stage allows them: small first, grown last."""

    def __init__(self, cluster: Cluster, *, pairs: int, seconds: float) -> None:
        self.cluster, self.pairs, self.seconds = cluster, pairs, seconds

    def rows(self) -> Iterator[tuple[str, Callable[[], list[Row]]]]:
        yield "function_vs_bare", self.functions
        yield "charge_vs_limit", self.many_processes
        yield "charge_vs_limit_1", self.one_process
        yield "charge_vs_naive", self.naive
        yield "peers", self.peers
        yield "hold_cycle_vs_charge", self.hold_cycles
        yield "hot", self.hot_account
        yield "events_vs_copy", self.events
        yield "http", self.http
        yield "http_charge", self.http_charges
        yield "cpu", self.cpu
        yield "beside", self.beside
        yield "reads", self.reads
        yield "growth", self.growth

    def functions(self) -> list[Row]:
        spread = Row("function_vs_bare", "our function / the bare one, 8 clients", ">= 0.55", "tps")
        hot = Row("function_vs_bare_hot", "the same on one hot account", ">= 0.65", "tps")
        return [
            self._paired(spread, self._pgbench("charge.pgbench"), self._pgbench("bare.pgbench")),
            self._paired(hot, self._pgbench("charge_hot.pgbench"), self._pgbench("bare_hot.pgbench")),
        ]

    def many_processes(self) -> list[Row]:
        row = Row("charge_vs_limit", "charge service, 8 processes / pgbench, 8 clients", ">= 0.45", "charges/s")
        return [self._paired(row, self._charging("service", 8), self._pgbench("charge.pgbench"))]

    def one_process(self) -> list[Row]:
        row = Row("charge_vs_limit_1", "charge service, 1 process / pgbench, 1 client", ">= 0.65", "charges/s")
        return [self._paired(row, self._charging("service", 1), self._pgbench("charge.pgbench", clients=1))]

    def naive(self) -> list[Row]:
        row = Row("charge_vs_naive", "charge service / naive Django, 8 processes each", ">= 8", "charges/s")
        return [self._paired(row, self._charging("service", 8), self._charging("naive", 8))]

    def peers(self) -> list[Row]:
        """One process each; theirs keep no keys, log, statistics or seals."""
        from tests.bench.peers.running import installed, postings_a_second

        if not installed():
            print("peers are left out: the package index cannot be reached", flush=True)
            return []
        wanted = [
            ("charge_vs_hordak", "django-hordak: a transaction, two legs", ">= 2", "hordak"),
            ("charge_vs_django_ledger", "django-ledger: a journal entry, posted", ">= 10", "django_ledger"),
        ]  # fmt: skip
        return [
            self._paired(
                Row(name, f"charge service / {what}", bar, "charges/s"),
                self._charging("service", 1),
                partial(postings_a_second, self.cluster, peer, seconds=self.seconds),
            )
            for name, what, bar, peer in wanted
        ]

    def hold_cycles(self) -> list[Row]:
        row = Row("hold_cycle_vs_charge", "hold and capture / two charges, 8 processes each", ">= 0.80", "pairs/s")
        return [self._paired(row, self._charging("hold", 8), self._charging("twice", 8))]

    def hot_account(self) -> list[Row]:
        """One account, 32 callers: by pgbench, and in 2 processes, batched or not."""
        limit = Row("hot_vs_limit", "one hot account, 32 threads / pgbench, 32 clients", ">= 4", "charges/s")
        p99 = Row("hot_p99", "slowest hundredth, batching / without it", "<= 0.25", "ms")
        for _ in range(self.pairs):
            together, apart = (
                charge_hot_account(batching=batching, processes=2, threads=16, seconds=self.seconds)
                for batching in (True, False)
            )
            limit.ours.append(together.a_second)
            limit.others.append(self._pgbench("charge_hot.pgbench", clients=32)())
            p99.ours.append(together.p99_milliseconds)
            p99.others.append(apart.p99_milliseconds)
        return [limit, p99]

    def events(self) -> list[Row]:
        from tests.bench.reporting import copied_a_second, events_a_second

        run_sql(self.cluster, "copy.sql")
        row = Row("events_vs_copy", "1,000 events a call / COPY into a table like the log", ">= 0.30", "rows/s")
        return [self._paired(row, partial(events_a_second, self.seconds), partial(copied_a_second, self.seconds))]

    def http(self) -> list[Row]:
        from tests.bench.callers import key_of, token_of
        from tests.bench.web import requests_a_second, serving

        credits = Row("http_credits", "GET /auth/account/credits / an empty Django view", ">= 0.17", "req/s")
        summary = Row("http_summary", "GET /v2/account/summary / an empty Django view", ">= 0.15", "req/s")
        bearer, key = {"Authorization": f"Bearer {token_of(3)}"}, {"X-API-KEY": key_of(3)}
        with serving("config.wsgi:application") as ours, serving("tests.bench.empty:application") as least:

            def asking(port: int, path: str, headers: dict[str, str]) -> Measure:
                return lambda: requests_a_second(port, path, headers, seconds=self.seconds)

            empty = asking(least, "/empty", {})
            return [
                self._paired(credits, asking(ours, "/auth/account/credits", bearer), empty),
                self._paired(summary, asking(ours, "/v2/account/summary", key), empty),
            ]

    def http_charges(self) -> list[Row]:
        """Charges of 500 customers in turn, each named by a key."""
        from tests.bench.callers import key_of, service_key
        from tests.bench.web import posts_a_second, requests_a_second, serving

        least = Row("http_charge", "POST /v2/charges by key / an empty Django view", ">= 0.10", "req/s")
        naive = Row("http_charge_vs_naive", "the same / a naive DRF endpoint", ">= 4", "req/s")
        headers = {"X-API-KEY": service_key()}
        bodies = [b'{"api_key": "%s", "endpoint": "translate"}' % key_of(n + 1).encode() for n in range(500)]
        with (
            serving("config.wsgi:application") as ours,
            serving("tests.bench.empty:application") as empty,
            serving("tests.bench.naive_web:application") as theirs,
        ):

            def charging(port: int, path: str) -> Measure:
                return lambda: posts_a_second(port, path, headers, bodies, seconds=self.seconds)

            charge = charging(ours, "/v2/charges")
            return [
                self._paired(least, charge, lambda: requests_a_second(empty, "/empty", {}, seconds=self.seconds)),
                self._paired(naive, charge, charging(theirs, "/charge")),
            ]

    def cpu(self) -> list[Row]:
        """CPU time of a call, this process's and the database's, against the empty view's; lists against `credits`."""
        from tests.bench.cpu import measured

        return measured(pairs=self.pairs, seconds=self.seconds / 8)

    def beside(self) -> list[Row]:
        """A charge while other calls are slow, or wait for a slow peer."""
        from tests.bench.beside import Beside

        return Beside(self.cluster, pairs=self.pairs, seconds=self.seconds).rows()

    def reads(self) -> list[Row]:
        from tests.bench.reading import (
            BIG,
            SMALL,
            ledger_cursor,
            ledger_dates,
            ledger_page,
            milliseconds,
            month_of_usage,
            odd_window,
        )

        run_sql(self.cluster, "big_accounts.sql")
        settle(self.cluster)
        first = ledger_page(0)
        wanted = [
            ("usage_growth", "month of usage, 1,000,000 requests / 10,000", "<= 1.2", month_of_usage(BIG),
             month_of_usage(SMALL)),
            ("usage_growth_odd", "window with odd edges, 1,000,000 / 10,000", "<= 50", odd_window(BIG),
             odd_window(SMALL)),
            ("ledger_depth", "page at offset 900,000 with total / first page", "<= 1.5", ledger_page(900_000), first),
            ("ledger_cursor", "page behind a cursor at 100,000 / first page", "<= 1.5", ledger_cursor(100_000), first),
            ("ledger_dates", "page of a range of dates with total / first page", "<= 2.5", ledger_dates(), first),
        ]  # fmt: skip
        return [
            self._paired(Row(name, what, bar, "ms"), partial(milliseconds, big), partial(milliseconds, small))
            for name, what, bar, big, small in wanted
        ]

    def growth(self) -> list[Row]:
        """Compare two databases of one cluster: the grown one and a copy from before."""
        self._copy_database("tollbook_empty")
        run_sql(self.cluster, "grow.sql")
        settle(self.cluster)
        row = Row("growth", "charge with 5,000,000 entries and requests / without", ">= 0.80", "tps")
        grown, empty = self._pgbench("charge.pgbench"), self._pgbench("charge.pgbench", database="tollbook_empty")
        return [self._paired(row, grown, empty)]

    def _paired(self, row: Row, ours: Measure, other: Measure) -> Row:
        return paired(row, ours, other, pairs=self.pairs)

    def _pgbench(self, script: str, *, clients: int = 8, database: str = "tollbook") -> Measure:
        return lambda: pgbench(self.cluster, script, clients=clients, seconds=self.seconds, database=database)

    def _charging(self, way: str, processes: int) -> Measure:
        return lambda: charges_a_second(way, processes=processes, seconds=self.seconds)

    def _copy_database(self, name: str) -> None:
        from django.db import connections

        connections.close_all()
        with psycopg.connect(self.cluster.dsn(user="postgres", dbname="postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE tollbook OWNER {OWNER_ROLE}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("rows", nargs="*", help="only these groups; default: all")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    asked = parser.parse_args()
    done: list[Row] = []
    with stage() as cluster:
        import django

        django.setup()
        for name, measure in Bench(cluster, pairs=asked.pairs, seconds=asked.seconds).rows():
            if not asked.rows or name in asked.rows:
                print(f"measuring {name} …", flush=True)
                done += measure()
                keep(done, Path(os.environ.get("BENCH_JSON", ROOT / "bench.json")))
    show(done)


if __name__ == "__main__":
    main()

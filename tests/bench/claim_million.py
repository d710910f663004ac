"""A claim with a million runs waiting in 100,000 queues, against one with a thousand, on one PostgreSQL; and its plans.

    python tests/bench/claim_million.py [RUNS [QUEUES]]

Nine of ten queues are blocked: held by an attempt, or paused. Prints the medians, their ratio, what EXPLAIN says of the
two looks that a claim is made of, and how many statements an idle store makes in a second.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from runner.store.records import StoreLimits
from support.stores import Desk, PostgresBackend, desk_at, new_run

_ROUNDS = 300
_IDLE_S = 30
_LOOKS = (
    """SELECT app, task, turn, queue FROM lanes WHERE ready > 0 AND open AND loadable AND (app, task) > ('', '')
       ORDER BY app, task, turn, queue LIMIT 1""",
    """SELECT seq FROM runs WHERE app = 'main' AND queue = 'open:1' AND task = 'a' AND ready = 1
       ORDER BY priority DESC, seq LIMIT 1""",
)


async def fill(desk: Desk, runs: int, queues: int) -> None:
    """Let this many runs wait in this many queues, one in ten of them open, the others held or paused in halves."""
    blocked = [f"blocked:{number}" for number in range(queues * 9 // 10)]
    held, paused = blocked[: len(blocked) // 2], blocked[len(blocked) // 2 :]
    for begin in range(0, len(paused), 1000):
        await asyncio.gather(*(desk.store.pause("main", queue, desk.now) for queue in paused[begin : begin + 1000]))
    for begin in range(0, len(held), 2000):
        await desk.store.enqueue([new_run(queue=queue) for queue in held[begin : begin + 2000]])
        while await desk.claim(500, memory=10**9):
            pass
    names = [*blocked, *(f"open:{number}" for number in range(queues - len(blocked)))]
    each = runs // queues
    for begin in range(0, len(names), 5000 // each):
        part = [queue for queue in names[begin : begin + 5000 // each] for _ in range(each)]
        await desk.store.enqueue([new_run(queue=queue) for queue in part])


async def timed_claim(desk: Desk) -> float:
    """Milliseconds of one claim; what it took is put back."""
    begin = time.perf_counter()
    claim = await desk.claim_one()
    took_ms = (time.perf_counter() - begin) * 1000
    await desk.end(claim)
    await desk.enqueue(queue=claim.run.queue)
    return took_ms


async def statements_when_idle(backend: PostgresBackend) -> float:
    """Transactions a second by the server's own count, its own housekeeping left out."""
    count = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
    backend.sql("ALTER SYSTEM SET autovacuum = off")
    backend.sql("SELECT pg_reload_conf()")
    await asyncio.sleep(10)  # what is under way ends
    ((before,),) = backend.sql(count)
    await asyncio.sleep(_IDLE_S)
    ((after,),) = backend.sql(count)
    backend.sql("ALTER SYSTEM RESET autovacuum")
    backend.sql("SELECT pg_reload_conf()")
    return float(after - before - 1) / _IDLE_S


async def main(runs: int, queues: int) -> None:
    """Fill two databases, and claim from them in turn."""
    with tempfile.TemporaryDirectory() as folder:
        backends = [PostgresBackend(Path(folder)) for _ in range(2)]
        stores = [backend.store(limits=StoreLimits(waiting_per_app=10 * runs)) for backend in backends]
        for store in stores:
            await store.open()
        few, many = [await desk_at(store) for store in stores]
        begin = time.perf_counter()
        await fill(few, 1000, 100)
        await fill(many, runs, queues)
        print(f"filled with {sum((await many.store.count('main')).values()):,} runs "
              f"in {time.perf_counter() - begin:.0f} s")  # fmt: skip
        for backend in backends:
            backend.sql("ANALYZE")
        times = [(await timed_claim(few), await timed_claim(many)) for _ in range(_ROUNDS)]
        with_few, with_many = (statistics.median(each[which] for each in times) for which in (0, 1))
        print(
            f"claim: {with_few:.2f} ms with a thousand, {with_many:.2f} ms with {runs:,}, "
            f"{with_many / with_few:.2f} times"
        )
        for look in _LOOKS:
            print("\n".join(line for (line,) in backends[1].sql(f"EXPLAIN (ANALYZE, BUFFERS) {look}")), end="\n\n")
        print(f"idle: {await statements_when_idle(backends[1]):.2f} transactions a second")
        for store in stores:
            await store.close()
        for backend in backends:
            backend.remove()


if __name__ == "__main__":
    asked = [int(text) for text in sys.argv[1:]]
    asyncio.run(main(*(asked or [1_000_000, 100_000])))

"""How long does a confined attempt take, as multiples of what the operating system alone takes? `make bench-sandbox`

    python tests/bench/sandbox_speed.py [ROUNDS]

Everything is measured in rounds, a little of each in turn, so that a machine that drifts drifts for all alike.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import attempts
from attempts import PLAIN, FloorProcess
from figures import Figures, console, ms, table, verdicts
from whole_runs import whole_runs

ROUNDS, PER_ROUND, WARM_UPS = 50, 10, 20
AT_ONCE, RATE_ROUNDS, RATE_TIMES = (2, 4, 8), 3, 200
MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else None


async def main(rounds: int) -> None:
    """Measure, and print the tables."""
    figures = Figures()
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory(dir=MEMORY) as in_memory:
        folder = Path(name)
        code = attempts.write_code(folder / "code")
        floors = [FloorProcess() for _ in range(os.cpu_count() or 1)]
        sandbox = attempts.sandbox_in(folder)
        (folder / "timed").mkdir()
        timed = attempts.sandbox_in(folder / "timed", "timed_steps")
        await sandbox.start()
        await timed.start()
        console.print(f"[dim]{sandbox.walls}; {os.cpu_count()} cores, {rounds} rounds")
        function = attempts.warm_spec(code, "inside:answer")
        guest = attempts.warm_spec(code, attempts.GUEST)
        for spec in (function, guest):
            assert await sandbox.warm_up(spec) == ""
        for _ in range(WARM_UPS):
            floors[0].take(1)
            await attempts.function_attempt(sandbox, function)
            await attempts.guest_attempt(sandbox, guest)
            await attempts.step_times(timed)
        steps: defaultdict[str, list[float]] = defaultdict(list)
        async with whole_runs(Path(in_memory)) as idle:
            gc.collect()
            gc.freeze()  # as a runner does before it serves
            for _ in range(rounds):
                figures.add("floor", *floors[0].take(PER_ROUND))
                for _ in range(PER_ROUND):
                    figures.add("function", await attempts.function_attempt(sandbox, function))
                    figures.add("guest", await attempts.guest_attempt(sandbox, guest))
                figures.add("cold", await attempts.cold_attempt(sandbox, folder))
                for _ in range(3):
                    began, recorded = await idle.run()
                    figures.add("began", began)
                    figures.add("recorded", recorded)
                    figures.add("commit", await idle.commit())
                for what, took in await attempts.step_times(timed):
                    steps[what].append(took)
                for what, command in PLAIN.items():
                    if (took := attempts.plain_process(command)) is not None:
                        figures.add(what, took)
        rates: defaultdict[str, list[float]] = defaultdict(list)
        for _ in range(RATE_ROUNDS):
            rates["floor"].append(attempts.floor_rate(floors, RATE_TIMES))
            for at_once in AT_ONCE:
                rates[str(at_once)].append(await attempts.rate(sandbox, guest, at_once=at_once, times=RATE_TIMES))
        memory = await memories(sandbox, code) if os.geteuid() == 0 else {}
        await sandbox.close()
        await timed.close()
        for floor in floors:
            floor.close()
    show(figures, steps, {what: statistics.median(several) for what, several in rates.items()}, memory)


async def memories(sandbox: attempts.Sandbox, code: Path) -> dict[str, float | None]:
    """Bytes of an attempt, and of processes that are none."""
    found: dict[str, float | None] = {
        "an attempt": await attempts.attempt_memory(sandbox, attempts.warm_spec(code, "inside:linger"))
    }
    return {**found, **{what: attempts.plain_memory(command) for what, command in PLAIN.items()}}


def show(
    figures: Figures, steps: dict[str, list[float]], rates: dict[str, float], memory: dict[str, float | None]
) -> None:
    """Print all of it."""
    median_floor = figures.median("floor")
    named = {
        "floor": "the floor: fork, seven namespaces, fork, exit, reap",
        "function": "warm: a function that answers one frame",
        "guest": "warm: a trivial task, with all of the guest",
        "cold": "cold: the first attempt of a task with new code",
        "recorded": f"whole run: claim, attempt, recorded (SQLite on {'tmpfs' if MEMORY else 'disk'})",
        "began": "from scheduleTask to the task's first line",
        "commit": "one durable commit of scheduleTask",
        **{what: f"{what} (no sandbox of ours)" for what in PLAIN},
    }
    rows = []
    for what, shown in named.items():
        if what not in figures.samples:
            rows.append(
                (shown, "not installed" if shutil.which(PLAIN[what][0]) is None else "does not work", *[""] * 4)
            )
            continue
        values = [figures.median(what), figures.quantile(what, 0.95), figures.quantile(what, 0.99)]
        rows.append((shown, *map(ms, values), *(figures.floors(value) for value in (values[0], values[2]))))
    table("One at a time", ("", "p50 ms", "p95 ms", "p99 ms", "p50 floors", "p99 floors"), rows)
    total = sum(statistics.median(several) for several in steps.values())
    table(
        "What a cold attempt is made of",
        ("", "median ms", "share", "floors"),
        [
            (what, f"{(took := statistics.median(several)) * 1000:.3f}", f"{took / total:.1%}", figures.floors(took))
            for what, several in steps.items()
        ],
    )
    table(
        "Attempts a second",
        ("", "a second", "of the floor's rate"),
        [
            (f"the floor, {os.cpu_count()} processes", f"{rates['floor']:.0f}", ""),
            *(
                (f"{n} attempts at once", f"{rates[str(n)]:.0f}", f"{rates[str(n)] / rates['floor']:.2f}")
                for n in AT_ONCE
            ),
        ],
    )
    if memory:
        unknown = "not to be had"
        table(
            "Memory while it waits, shared pages by proportion",
            ("", "MB"),
            [(what, unknown if size is None else f"{size / (1 << 20):.1f}") for what, size in memory.items()],
        )
    else:
        console.print("[dim]Memory of attempts can be read by root only.")
    best = max(rates[str(at_once)] for at_once in AT_ONCE)
    begins = figures.median("began") / (2 * median_floor + figures.median("commit"))
    verdicts(
        [
            ("warm attempt, median, in floors", figures.median("guest") / median_floor, "<=", 2),
            ("warm attempt, p99, in floors", figures.quantile("guest", 0.99) / median_floor, "<=", 4),
            ("cold attempt, in floors", figures.median("cold") / median_floor, "<", 10),
            ("attempts a second, of the floor's rate", best / rates["floor"], ">=", 0.5),
            ("whole run, median, in floors", figures.median("recorded") / median_floor, "<=", 2.5),
            ("begin of a run, in 2 floors + 1 commit", begins, "<=", 1),
        ]
    )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))

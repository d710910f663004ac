"""Do ten thousand attempts in a row leave anything behind, or grow slower? `make bench-endurance`

    python tests/bench/endurance.py [ATTEMPTS]

One after the other, on one sandbox; the exit code says whether anything but time was left over.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import attempts
from figures import console, table
from rich.progress import track

from support.leftovers import look, settled

ATTEMPTS = 10_000
MB = 1 << 20
#: What caches and the allocator may still take after the first hundred attempts.
_MOST_GROWTH = 4 * MB


async def main(times: int) -> int:
    """Measure, and print what changed."""
    with tempfile.TemporaryDirectory() as name:
        sandbox = attempts.sandbox_in(Path(name))
        spec = attempts.warm_spec(attempts.write_code(Path(name, "code")), "runner.guest.main:main")
        await sandbox.start()
        for _ in range(100):
            await attempts.guest_attempt(sandbox, spec)
        await settled(sandbox)
        before = look(sandbox)
        took = [await attempts.guest_attempt(sandbox, spec) for _ in track(range(times), console=console)]
        await settled(sandbox)
        after = look(sandbox)
        await sandbox.close()
    part = max(1, times // 10)
    first, last = statistics.median(took[:part]), statistics.median(took[-part:])
    growth = [after.memory_bytes - before.memory_bytes, after.launcher_memory_bytes - before.launcher_memory_bytes]
    table(
        f"{times:,} attempts in a row, {sum(took):.0f} s",
        ("", "before", "after"),
        [
            *((what, str(value), str(after.counts()[what])) for what, value in before.counts().items()),
            ("memory of the runner, MB", f"{before.memory_bytes / MB:.1f}", f"{after.memory_bytes / MB:.1f}"),
            (
                "memory of the launcher, MB",
                f"{before.launcher_memory_bytes / MB:.1f}",
                f"{after.launcher_memory_bytes / MB:.1f}",
            ),
            (f"median of the first and last {part:,}, ms", f"{first * 1000:.2f}", f"{last * 1000:.2f}"),
        ],
    )
    console.print(f"the last {part:,} took {last / first:.3f} times as long as the first")
    clean = before.counts() == after.counts() and max(growth) < _MOST_GROWTH
    console.print("nothing was left behind" if clean else "[bold]something was left behind")
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else ATTEMPTS)))

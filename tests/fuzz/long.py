"""Fuzzes for as long as it is told, over ever new seeds. `make fuzz MINUTES=20`

Each round is the suite's own tests with more cases and a seed of its own. Ends with the number of cases, or with the
first round that failed: its seed tries the same cases again.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
TESTS = [HERE, HERE.parent / "sandbox" / "test_control.py"]
#: How many times as many cases as in the suite a round tries.
SCALE = 10


def main(minutes: float) -> int:
    """Go on round by round; the exit code says whether nothing was found."""
    until, cases, seed = time.monotonic() + minutes * 60, 0, int(time.time())
    while time.monotonic() < until:
        seed += 1
        command = [sys.executable, "-m", "pytest", *TESTS, "-q", "-x", "-p", "no:cacheprovider"]
        command += [f"--hypothesis-seed={seed}", "--hypothesis-show-statistics"]
        tried = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "FUZZ_SCALE": str(SCALE)}, check=False
        )
        if tried.returncode != 0:
            print(
                f"{tried.stdout}{tried.stderr}\nfound by seed {seed}: FUZZ_SCALE={SCALE} {' '.join(map(str, command))}"
            )
            return 1
        cases += sum(int(passed) for passed in re.findall(r"(\d+) passing", tried.stdout))
        print(
            f"seed {seed}: {cases:,} cases so far, {max(0, until - time.monotonic()) / 60:.0f} minutes left", flush=True
        )
    print(f"{cases:,} cases, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))

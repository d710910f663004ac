"""How long to pause between tries of what fails now and may succeed later."""

from __future__ import annotations

from collections.abc import Iterator
from random import uniform


def pauses(first_s: float, longest_s: float) -> Iterator[float]:
    """The seconds to pause before each further try, without end.

    Each is twice as long as the one before, up to `longest_s`. Up to half of it is left out by chance, so that those
    who failed together do not try again together.
    """
    pause_s = first_s
    while True:
        yield pause_s * uniform(0.5, 1)
        pause_s = min(pause_s * 2, longest_s)

"""Which values JSON carries there and back exactly. A value that it cannot carry is refused with its place.

Tuples become arrays, and instances of subclasses become instances of the plain type. Refused are keys that are not
text, NaN, infinities, lone surrogates, and values nested deeper than `MAX_DEPTH` (or into themselves).
"""

from __future__ import annotations

import math
from typing import Any

MAX_DEPTH = 100
_MOST_BITS = 14_000  # of a whole number; Python reads 4300 digits


def check(value: Any, place: str) -> None:
    """Raise `ValueError` for a value that JSON cannot carry; its text begins with where that is, seen from `place`."""
    _check(value, place, MAX_DEPTH)


def _check(value: Any, place: str, depth: int) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        _check_text(value, place)
    elif isinstance(value, int):
        if value.bit_length() > _MOST_BITS:
            raise ValueError(f"{place} is a number of more than 4,000 digits; pass it as text")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{place} is {value}, which JSON has no number for")
    elif depth == 0:
        raise ValueError(f"{place} is nested deeper than {MAX_DEPTH}")
    elif isinstance(value, dict):
        for key, element in value.items():
            if not isinstance(key, str):
                raise ValueError(  # noqa: TRY004 - as all that is no JSON
                    f"{place} has the key {key!r:.60}, and in JSON keys are text"
                )
            _check_text(key, place)
            _check(element, f"{place}[{key!r:.60}]", depth - 1)
    elif isinstance(value, list | tuple):
        for index, element in enumerate(value):
            _check(element, f"{place}[{index}]", depth - 1)
    else:
        raise ValueError(f"{place} is of the type {type(value).__name__}, which JSON has no form for")


def _check_text(text: str, place: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{place} has half a character in its text (a lone surrogate)") from None

"""Strict reading of single values that people write. Nothing is guessed: `True` is no number, and "4" neither.

Each function takes the `name` of what it reads and raises `InvalidOptionError` with a message that begins with that
name and says what is allowed and what was given.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable

from runner.domain.names import LONGEST, check_queue, check_secret, check_tag
from runner.errors import InvalidOptionError

_MOST_ENTRIES = 50


def whole(value: object, name: str, low: int, high: int) -> int:
    """A whole number within the range."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidOptionError(f"{name} must be a whole number from {low} to {high}: got {shown(value)}")
    return value


def number(value: object, name: str, low: float, high: float) -> float:
    """A number within the range."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidOptionError(f"{name} must be a number from {low:g} to {high:g}: got {shown(value)}")
    return float(value)


def flag(value: object, name: str) -> bool:
    """`True` or `False`, nothing that merely looks like it."""
    if not isinstance(value, bool):
        raise InvalidOptionError(f"{name} must be true or false: got {shown(value)}")
    return value


def text(value: object, name: str, longest: int) -> str:
    """Text of at most `longest` characters that UTF-8 can carry."""
    if not isinstance(value, str):
        raise InvalidOptionError(f"{name} must be text: got {shown(value)}")
    if len(value) > longest:
        raise InvalidOptionError(f"{name} must be at most {longest} characters long: got {len(value)}")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidOptionError(f"{name} must be Unicode text: got a lone surrogate in {shown(value)}")
    return value


def one_of(value: object, name: str, allowed: Iterable[str]) -> str:
    """One of the allowed words."""
    allowed = tuple(allowed)
    if not isinstance(value, str) or value not in allowed:
        listed = ", ".join(f'"{word}"' for word in allowed)
        raise InvalidOptionError(f"{name} must be one of {listed}: got {shown(value)}")
    return value


def queue(value: object, name: str) -> str:
    """The name of a queue."""
    return _named(check_queue, value, name)


def tags(value: object, name: str) -> tuple[str, ...]:
    """A list of short labels; each counts once, in the order given."""
    return _several(check_tag, value, name)


def secrets(value: object, name: str) -> tuple[str, ...]:
    """A list of names of secrets; each counts once, in the order given."""
    return _several(check_secret, value, name)


def priority(value: object, name: str) -> int:
    """A run's priority; higher goes first."""
    return whole(value, name, -1_000_000, 1_000_000)


def known_keys(given: Iterable[str], known: Iterable[str], where: str, kind: str) -> None:
    """Refuse the first key that is not known; `where` is put before it, `kind` says what it would have been."""
    known = tuple(known)
    for key in given:
        if key not in known:
            hint = nearest(key, known) or f"; known are {', '.join(known)}"
            raise InvalidOptionError(f"{where}{dotted(key)} is not a known {kind}{hint}")


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error's sentence that offers the known words nearest to `word`; empty where none is near."""
    near = difflib.get_close_matches(word[:LONGEST], list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def dotted(key: str) -> str:
    """A key as TOML writes it within a dotted path: quoted where it has to be."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


def shown(value: object) -> str:
    """A value as an error shows it: on one line, cut where it is long."""
    # A container may be huge or nested without end; its kind says enough.
    if isinstance(value, dict | list | tuple | set | frozenset):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, str):
        value = value[:80] + "…" if len(value) > 80 else value
        return '"' + ascii(value)[1:-1] + '"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 256:
        return "a number of more than 70 digits"
    return repr(value) if value is None or isinstance(value, int | float) else f"a {type(value).__name__}"


def _several(check: Callable[[object], str], value: object, name: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise InvalidOptionError(f"{name} must be a list of text: got {shown(value)}")
    if len(value) > _MOST_ENTRIES:
        raise InvalidOptionError(f"{name} must have at most {_MOST_ENTRIES} entries: got {len(value)}")
    return tuple(dict.fromkeys(_named(check, entry, f"{name}[{index}]") for index, entry in enumerate(value)))


def _named(check: Callable[[object], str], value: object, name: str) -> str:
    """What `check` gives; its error, which begins with the kind of the name, told of the place instead."""
    try:
        return check(value)
    except InvalidOptionError as error:
        raise InvalidOptionError(f"{name} {str(error).partition(' ')[2]}") from None

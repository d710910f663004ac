"""Strict reading of single values that people write. Nothing is guessed: `True` is no number, and "4" neither.

Each function takes the `place` of what it reads and raises `InvalidOptionError`: the place, the rule, what was given.
Nothing but builtins is imported until something is wrong: this runs inside every attempt that schedules.
"""

from __future__ import annotations

from collections.abc import Iterable

from runner.errors import InvalidOptionError

_LONGEST_SHOWN = 80


def refusal(place: str, rule: str, given: object) -> InvalidOptionError:
    """The error that `given` at `place` breaks the rule: "timeout must be at least 10ms: got …"."""
    return InvalidOptionError(f"{place} {rule}: got {shown(given)}")


def whole(value: object, place: str, low: int, high: int) -> int:
    """A whole number within the range."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise refusal(place, f"must be a whole number from {low} to {high}", value)
    return value


def number(value: object, place: str, low: float, high: float) -> float:
    """A number within the range."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise refusal(place, f"must be a number from {low:g} to {high:g}", value)
    return float(value)


def flag(value: object, place: str) -> bool:
    """`True` or `False`, nothing that merely looks like it."""
    if not isinstance(value, bool):
        raise refusal(place, "must be true or false", value)
    return value


def text(value: object, place: str, longest: int, shortest: int = 0) -> str:
    """Text of so many characters that UTF-8 can carry."""
    if not isinstance(value, str):
        raise refusal(place, "must be text", value)
    if not shortest <= len(value) <= longest:
        raise refusal(place, f"must be a text of {shortest} to {longest} characters", len(value))
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise refusal(place, "must be Unicode text, without a lone surrogate", value)
    return value


def one_of(value: object, place: str, allowed: Iterable[str]) -> str:
    """One of the allowed words."""
    allowed = tuple(allowed)
    if not isinstance(value, str) or value not in allowed:
        raise refusal(place, "must be one of " + ", ".join(f'"{word}"' for word in allowed), value)
    return value


def known_keys(given: Iterable[str], known: Iterable[str], where: str, kind: str) -> None:
    """Refuse the first key that is not known; `where` is put before it, `kind` says what it would have been."""
    known = tuple(known)
    for key in given:
        if key not in known:
            hint = nearest(key, known) or f"; known are {', '.join(known)}"
            raise InvalidOptionError(f"{where}{dotted(key[:_LONGEST_SHOWN])} is not a known {kind}{hint}")


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error's sentence that offers the known words nearest to `word`; empty where none is near."""
    import difflib  # noqa: PLC0415 - see the module's docstring

    near = difflib.get_close_matches(word[:200], list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def dotted(key: str) -> str:
    """A key as TOML writes it within a dotted path: quoted where it has to be."""
    is_bare = key.isascii() and key.replace("-", "_").replace("_", "a").isalnum()
    return key if is_bare else '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


def shown(value: object) -> str:
    """A value as an error shows it: on one line, cut where it is long."""
    # A container may be huge or nested without end; its kind says enough.
    if isinstance(value, dict | list | tuple | set | frozenset):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, str):
        value = value[:_LONGEST_SHOWN] + "…" if len(value) > _LONGEST_SHOWN else value
        return '"' + ascii(value)[1:-1] + '"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 256:
        return "a number of more than 70 digits"
    return repr(value) if value is None or isinstance(value, int | float) else f"a {type(value).__name__}"

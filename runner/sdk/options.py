"""Options that a task and a call of `scheduleTask` have in common: each is checked where it is written.

Every check takes the option's value as the user wrote it and gives it as JSON, durations and sizes as text with a unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from runner.domain.names import check_secret, check_tag
from runner.errors import InvalidOptionError
from runner.units import seconds, size_bytes

if TYPE_CHECKING:
    from datetime import timedelta

_HIGHEST_PRIORITY = 1_000_000

Check = Callable[[Any, str], object]


def check_options(options: Mapping[str, Any], checks: Mapping[str, Check], what: str) -> dict[str, Any]:
    """The options that were given (not `None`), each checked and as JSON.

    Raises:
        InvalidOptionError: an unknown option (names the nearest), or what a check says.
    """
    unknown = [name for name in options if name not in checks]
    if unknown:
        raise InvalidOptionError(unknown_option(unknown[0], checks, what))
    return {name: checks[name](value, name) for name, value in options.items() if value is not None}


def unknown_option(name: object, known: Iterable[str], what: str) -> str:
    """The sentence that refuses an option nobody knows."""
    from difflib import get_close_matches  # noqa: PLC0415 - only where something is wrong

    known = list(known)
    nearest = get_close_matches(str(name), known, n=1)
    hint = f" (did you mean {nearest[0]}?)" if nearest else ""
    return f"{what} has no option {name!r:.80}{hint}; known are {', '.join(known)}"


def duration(shortest: str) -> Check:
    """A duration of at least `shortest`."""

    def check(value: str | timedelta, name: str) -> str:
        length_s = seconds(value, name)
        if length_s < seconds(shortest, name):
            raise InvalidOptionError(f"{name} must be at least {shortest}: got {value}")
        return value if isinstance(value, str) else f"{length_s:.6f}".rstrip("0").rstrip(".") + "s"

    return check


def timeout(value: str | timedelta, name: str) -> object:
    """A duration, or "none"."""
    return "none" if isinstance(value, str) and value == "none" else duration("10ms")(value, name)


def size(smallest: str) -> Check:
    """A size of at least `smallest`."""

    def check(value: str, name: str) -> str:
        if size_bytes(value, name) < size_bytes(smallest, name):
            raise InvalidOptionError(f"{name} must be at least {smallest}: got {value!r}")
        return value

    return check


def priority(value: int, name: str) -> int:
    """A whole number; the higher goes first."""
    if not is_whole(value) or abs(value) > _HIGHEST_PRIORITY:
        raise InvalidOptionError(
            f"{name} must be a whole number from -{_HIGHEST_PRIORITY} to {_HIGHEST_PRIORITY}: got {value!r:.80}"
        )
    return value


def tags(value: Iterable[str], name: str) -> list[str]:
    """A list or tuple of tags."""
    if not isinstance(value, list | tuple):
        raise InvalidOptionError(f'{name} must be a list of texts, such as ["nightly"]: got {value!r:.80}')
    return [check_tag(tag) for tag in value]


def secrets(value: Iterable[str], name: str) -> list[str]:
    """A list or tuple of names of secrets."""
    if not isinstance(value, list | tuple):
        raise InvalidOptionError(f'{name} must be a list of names, such as ["SMTP_PASSWORD"]: got {value!r:.80}')
    return [check_secret(secret) for secret in value]


def retry(value: object, name: str) -> dict[str, object]:
    """A whole policy (`Retry`), or a dict of the parts of it that differ from the default."""
    from runner.domain.retry import Retry  # noqa: PLC0415 - most tasks do without, and it takes dataclasses

    if isinstance(value, Retry):
        return value.document()
    if not isinstance(value, dict):
        raise InvalidOptionError(f'{name} must be a Retry, or a dict such as {{"attempts": 5}}: got {value!r:.80}')
    known = Retry().document()
    for key in value:
        if key not in known:
            raise InvalidOptionError(unknown_option(key, known, name))
    checked = Retry(**value).document()
    return {key: checked[key] for key in value}


def flag(value: object, name: str) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise InvalidOptionError(f"{name} must be True or False: got {value!r:.80}")
    return value


def text(value: str, name: str, longest: int = 2000) -> str:
    """Text that is not empty, and can be written."""
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise InvalidOptionError(f"{name} must be a text of 1 to {longest} characters: got {value!r:.80}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidOptionError(f"{name} holds half a character (a lone surrogate): {value!a:.80}") from None
    return value


def is_whole(value: object) -> bool:
    """Whether this is a whole number, and not a truth value in disguise."""
    return isinstance(value, int) and not isinstance(value, bool)

"""Readers of the config's own keys: from what stands in the file, and its place, to the value that is held."""

from __future__ import annotations

import keyword
import re
from typing import Any

from runner.domain import checks
from runner.domain.checks import refusal


def store(value: Any, place: str) -> str:
    """Where runs are kept."""
    url = checks.text(value, place, 4096)
    if url.startswith("postgresql://") and "\0" not in url:
        return url
    if not url.startswith("sqlite:") or not url.removeprefix("sqlite:").strip() or "\0" in url:
        raise refusal(place, 'must begin with "sqlite:" and name a file after it, or be "postgresql://…"', url)
    return url


def listen_url(value: Any, place: str) -> str | None:
    """The direct way to the database, `None` for none."""
    url = checks.text(value, place, 4096)
    if url and not url.startswith("postgresql://"):
        raise refusal(place, 'must be "postgresql://…", or "" for none', url)
    return url or None


def node_name(value: Any, place: str) -> str:
    """What a node may be called."""
    name = checks.text(value, place, 100)
    if re.search(r"[^\w.:@-]", name):
        raise refusal(place, "may hold letters, digits and the characters _ . : @ -", name)
    return name


def host(value: Any, place: str) -> str:
    """A name or an address under which the server is called."""
    name = checks.text(value, place, 253)
    if not re.fullmatch(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", name):
        raise refusal(place, 'must be a name or an address without a port, such as "::1"', name)
    return name


def modules(value: Any, place: str) -> tuple[str, ...]:
    """Installed modules by their dotted names; each counts once."""
    if not isinstance(value, list):
        raise refusal(place, 'must be a list of modules such as ["numpy"]', value)
    for index, name in enumerate(value):
        words = name.split(".") if isinstance(name, str) else [""]
        if not all(word.isidentifier() and not keyword.iskeyword(word) for word in words):
            raise refusal(f"{place}[{index}]", 'must be a module\'s dotted name such as "numpy"', name)
        if words[0] == "tasks":
            raise refusal(f"{place}[{index}]", "must be an installed module; tasks are loaded by themselves", name)
    return tuple(dict.fromkeys(value))


def patterns(value: Any, place: str) -> tuple[str, ...]:
    """Names and patterns; each counts once."""
    if not isinstance(value, list) or not all(isinstance(each, str) and 0 < len(each) <= 300 for each in value):
        raise refusal(place, 'must be a list of names and patterns such as ["reports.*"]', value)
    return tuple(dict.fromkeys(value))


def reachable(value: Any, place: str) -> tuple[str, ...] | None:
    """Hosts with ports and patterns of them; `None` where anything may be reached."""
    if isinstance(value, bool):
        return None if value else ()
    if not isinstance(value, list) or not all(isinstance(each, str) and ":" in each for each in value):
        raise refusal(place, 'must be true, false or a list of hosts with ports such as ["*.example.com:443"]', value)
    return tuple(dict.fromkeys(each.lower() for each in value))

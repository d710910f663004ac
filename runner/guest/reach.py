"""Tells a task that was denied the network which option grants it.

The kernel only says "Network is unreachable", and a client says it in its own words, often several exceptions deep. So
an error that ends an attempt is looked through, with all that it came from, for what a missing network looks like.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Iterator

_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL}
_MOST_ERRORS = 50
_MOST_SHOWN = 3
#: asyncio joins the errors of several addresses into the text of one that has no number.
_NUMBER = re.compile(r"Multiple exceptions: \[Errno (\d+)\]")

#: What a task may connect to: all, nothing, or single hosts. `None` while a file is asked for its tasks.
Network = bool | list[str] | None


def hint(error: BaseException, network: Network) -> str:
    """A sentence for the error of a task that could not connect, empty for any other. Hostile exceptions do no harm."""
    if network is True:
        return ""
    try:
        if not any(_is_denial(each, listed=bool(network)) for each in _with_causes(error)):
            return ""
    except BaseException:
        return ""
    if network is None:
        return (
            "a file that is asked for its tasks has no network, whatever they are granted: connect in their functions"
        )
    if not network:
        return 'this task has no network; its option network grants it: ["example.com:443"], or True for the whole'
    more = f" and {len(network) - _MOST_SHOWN} more" if len(network) > _MOST_SHOWN else ""
    return f"this task is granted {', '.join(network[:_MOST_SHOWN])}{more}; its option network may list what it lacks"


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    todo = [error]
    for _ in range(_MOST_ERRORS):
        if not todo:
            return
        each = todo.pop()
        yield each
        parts = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        todo += [part for part in (each.__cause__, each.__context__, *parts) if part is not None]


def _is_denial(error: BaseException, *, listed: bool) -> bool:
    if not isinstance(error, OSError):
        return False
    if isinstance(error, socket.gaierror):
        return True
    number = error.errno
    if number is None and (found := _NUMBER.match(str(error)[:100])):
        number = int(found[1])
    if number == errno.EACCES:
        return error.filename is None  # of a file otherwise
    # Whoever refuses inside is the loopback of its own: a host that refuses is a reset.
    return number in _UNREACHABLE or (listed and number == errno.ECONNREFUSED)

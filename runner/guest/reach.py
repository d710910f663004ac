"""Tells a task what option or section of the config shows what it did not reach: a host, a file, a module.

The kernel only says "Network is unreachable" or "No such file or directory", and a client says it in its own words,
often several exceptions deep. So an error that ends an attempt is looked through, with all that it came from. This is
done once the task has ended: what it sees of its exceptions is Python's own.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Iterator
from types import TracebackType

_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL}
_MOST_ERRORS = 50
_MOST_FRAMES = 500
_MOST_SHOWN = 3
#: asyncio joins the errors of several addresses into the text of one that has no number.
_NUMBER = re.compile(r"Multiple exceptions: \[Errno (\d+)\]")
#: Functions of the standard library that are given a host and a port.
_CONNECTING = ("create_connection", "getaddrinfo", "sock_connect")
_LIBRARY = ("/socket.py", "/asyncio/base_events.py", "/asyncio/selector_events.py")
#: Where a task has files of its own.
_INSIDE = ("/code/", "/tmp/", "/proc/", "/dev/", "/sys/")

#: What a task may connect to: all, nothing, or single hosts. `None` while a file is asked for its tasks.
Network = bool | list[str] | None


def hint(error: BaseException, network: Network) -> str:
    """A sentence for the error of a task that did not reach something, empty for any other.

    Hostile exceptions do no harm.
    """
    try:
        errors = list(_with_causes(error))
        return _denied(errors, network) or _missing(errors)
    except BaseException:
        return ""


def _denied(errors: list[BaseException], network: Network) -> str:
    if network is True:
        return ""
    denials = [each for each in errors if _is_denial(each, listed=bool(network))]
    if not denials:
        return ""
    if network is None:
        return (
            "a file that is asked for its tasks has no network, whatever they are granted: connect in their functions"
        )
    tried = next((place for each in denials if (place := _tried(each.__traceback__))), "")
    if not network:
        example = tried or "example.com:443"
        return f'this task has no network; its option network grants it: ["{example}"], or True for the whole'
    more = f" and {len(network) - _MOST_SHOWN} more" if len(network) > _MOST_SHOWN else ""
    granted = f"this task is granted {', '.join(network[:_MOST_SHOWN])}{more}"
    if not tried:
        return f"{granted}; its option network may list what it lacks"
    return f"{granted}; its option network may list {tried}, which it tried" if tried not in network else ""


def _missing(errors: list[BaseException]) -> str:
    for each in errors:
        if type(each) is ModuleNotFoundError and isinstance(each.name, str) and each.name.partition(".")[0] != "tasks":
            return (
                f"tasks import what is installed where isolane runs; a folder that has {each.name[:100]} beside the "
                "project, or that pip installed with -e, is shown by [code] packages in config/isolane.toml"
            )
        if type(each) is FileNotFoundError and isinstance(each.filename, str):
            path = each.filename
            if path.startswith("/") and not path.startswith(_INSIDE):
                return "a task sees of this machine's files what [[mounts]] in config/isolane.toml shows"
    return ""


def _tried(traceback: TracebackType | None) -> str:
    """The host and port that a function of the standard library was given, as "host:port"; empty where unknown."""
    found = ""
    for _ in range(_MOST_FRAMES):
        if traceback is None:
            break
        code, seen = traceback.tb_frame.f_code, traceback.tb_frame.f_locals
        if code.co_name in _CONNECTING and code.co_filename.endswith(_LIBRARY):
            address = seen.get("address")
            host, port = seen.get("host"), seen.get("port")
            if type(address) is tuple and len(address) >= 2:
                host, port = address[:2]
            if type(host) is str and type(port) in (int, str):
                found = f"{host[:253]}:{port!s:.5}" if ":" not in host else f"[{host[:45]}]:{port!s:.5}"
        traceback = traceback.tb_next
    return found


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

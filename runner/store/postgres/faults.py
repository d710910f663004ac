"""What errors of PostgreSQL and of the way to it mean: try again, give up, or a bug."""

from __future__ import annotations

from urllib.parse import urlsplit

import asyncpg

from runner.errors import InvariantError, RunnerError, StoreFullError, StoreUnavailableError

_FULL = "53100"
#: Classes of SQLSTATE after which a fresh try may succeed: the connection was lost or the server is short of something,
#: stops, starts or stands by, or it was this transaction that had to give way to others.
_PASSING_CLASSES = ("08", "53", "57", "58")
_PASSING = (
    "25006",  # read only: this server stands by since a failover
    "40001",  # serialization failure
    "40P01",  # deadlock
    "55P03",  # a lock that could not be taken in time
    "0A000",  # a cached plan that a migration made invalid
)
_CONNECTION_IS_FINE = ("40001", "40P01", "55P03")


def is_passing(error: BaseException) -> bool:
    """Whether to try again with the same."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state != _FULL and (state[:2] in _PASSING_CLASSES or state in _PASSING)
    if isinstance(error, asyncpg.ClientConfigurationError):
        return False  # the URL is wrong
    return isinstance(error, OSError | TimeoutError | EOFError | asyncpg.InterfaceError | asyncpg.InternalClientError)


def leaves_connection(error: BaseException) -> bool:
    """Whether the connection can be used again after this error, once its transaction is taken back."""
    if isinstance(error, asyncpg.PostgresError):
        return not is_passing(error) or error.sqlstate in _CONNECTION_IS_FINE
    return isinstance(error, RunnerError)


def translated(error: BaseException, url: str) -> Exception:
    """What to tell the caller; an error of isolane's own is told as it is."""
    if isinstance(error, RunnerError):
        return error
    if isinstance(error, asyncpg.PostgresError):
        if error.sqlstate == _FULL:
            return StoreFullError(
                f"no room on the disk of {described(url)} ({error}); nothing was stored. Make room there; nothing "
                "needs a restart"
            )
        if (error.sqlstate or "")[:2] in ("22", "23", "42"):
            return InvariantError(f"the store refused what must not happen: {error}")
    said = str(error) or type(error).__name__
    return StoreUnavailableError(f"the store {described(url)} cannot be used: {said}")


def described(url: str) -> str:
    """The database that a URL names, without the password in it."""
    parts = urlsplit(url)
    where = parts.netloc.rpartition("@")[2] or "the local socket"
    return f"PostgreSQL {parts.path.strip('/') or 'database'!r} at {where}"

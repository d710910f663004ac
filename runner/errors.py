"""Every error that isolane raises on purpose, in one tree.

    RunnerError
    ├── InvalidError (also ValueError)      the caller's input; the message names the place and the fix
    │   ├── InvalidValueError               a value that is not JSON
    │   ├── InvalidOptionError              an option's name, type or range
    │   ├── UnknownTaskError                no task of that name
    │   ├── ExposedSecretError              a value to be stored that holds a secret
    │   └── ShapeError                      parameters that do not fit the task's schema
    ├── ConfigError                         the config file; names file, key, what was given, what is allowed
    │   └── SecretError                     a secret is not there, or lies where others can read it
    ├── TasksFolderError                    the tasks folder as a whole, such as two tasks of one name
    ├── NotFoundError                       no such run, queue or schedule in this app
    ├── ConflictError                       the thing exists and says otherwise, such as an idempotency key
    ├── LimitExceededError                  a limit of the config; retrying later may help
    ├── UnauthorizedError                   no token, or one that is not known
    ├── TransportError                      the server cannot be reached; nothing is known about the call
    ├── StoppingError                       the server is about to end and did not take the call
    ├── WaitTimeoutError (also TimeoutError)  the run goes on, only the waiting ended
    ├── DeadlockError                       waiting for a run that cannot start while the waiter waits
    ├── RunFailedError                      the awaited run ended, and not in success
    ├── StaleClaimError                     an attempt wrote after its claim had ended; nothing was changed
    ├── StoreError                          the database
    │   ├── StoreFullError                  no room left on its disk; nothing was written
    │   ├── StoreLockedError                another runner has it open
    │   ├── StoreVersionError               written by a newer isolane
    │   └── StoreUnavailableError           cannot be opened, read or reached
    └── InvariantError                      a bug in isolane; please report it

Errors cross the channel of an attempt and HTTP as `code` and message (`RunnerError.rebuild`). How an attempt ended is
never an exception but a value: see `sandbox.Outcome` and `runner.domain.status.Reason`.
"""

from __future__ import annotations

from typing import ClassVar


class RunnerError(Exception):
    """Root of all errors of the runner."""

    #: Stable name on the wire; the HTTP problem document's type ends in it.
    code: ClassVar[str] = "error"
    #: HTTP status with which it is answered.
    http_status: ClassVar[int] = 500

    @staticmethod
    def rebuild(code: str, message: str) -> RunnerError:
        """The error that `code` names, with `message`, as read from the other side of a channel.

        An unknown code (a newer peer) gives a plain `RunnerError`.
        """
        kind = _BY_CODE.get(code, RunnerError)
        error = kind.__new__(kind)
        Exception.__init__(error, message)
        return error


class InvalidError(RunnerError, ValueError):
    """The caller's input is wrong; calling again with the same input fails again."""

    code = "invalid"
    http_status = 422


class InvalidValueError(InvalidError):
    """A value that JSON cannot carry exactly; the message says where in it the offender sits."""

    code = "invalid-value"


class InvalidOptionError(InvalidError):
    """An option with an unknown name, or a value of a wrong type or range."""

    code = "invalid-option"


class UnknownTaskError(InvalidError):
    """No task has this name; the message lists the nearest names."""

    code = "unknown-task"
    http_status = 404


class ExposedSecretError(InvalidError):
    """What is to be stored holds the value of a secret; the message says where. Nothing was stored."""

    code = "exposed-secret"


class ShapeError(InvalidError):
    """The parameters do not fit the task's own schema."""

    code = "wrong-shape"


class ConfigError(RunnerError):
    """The config file is wrong; fix the named key."""

    code = "config"


class SecretError(ConfigError):
    """A secret is not there, or may not be used as it lies; the message says where to put it."""

    code = "secret"


class TasksFolderError(RunnerError):
    """The tasks folder as a whole cannot be used."""

    code = "tasks-folder"


class NotFoundError(RunnerError):
    """Nothing of that name or id in this app."""

    code = "not-found"
    http_status = 404


class ConflictError(RunnerError):
    """The request contradicts what is stored, such as one idempotency key with two parameters."""

    code = "conflict"
    http_status = 409


class LimitExceededError(RunnerError):
    """A limit of the config is reached; nothing was stored."""

    code = "limit-exceeded"
    http_status = 429


class UnauthorizedError(RunnerError):
    """The call carried no token, or one that is not known or was revoked."""

    code = "unauthorized"
    http_status = 401


class TransportError(RunnerError):
    """The server cannot be reached, or did not speak isolane; whether it acted is not known."""

    code = "transport"
    http_status = 502


class StoppingError(RunnerError):
    """The server is about to end and did nothing; the one that is started after it, or another, takes the call."""

    code = "stopping"
    http_status = 503


class WaitTimeoutError(RunnerError, TimeoutError):
    """The time to wait is over; the run itself goes on."""

    code = "wait-timeout"
    http_status = 504


class DeadlockError(RunnerError):
    """The awaited run could never start while the waiter waits: the waiter holds its queue."""

    code = "deadlock"
    http_status = 409


class RunFailedError(RunnerError):
    """The awaited run reached a final status other than `succeeded`.

    Attributes:
        run: the whole run, as HTTP and the command line show it, or `None` when rebuilt from a message alone.
    """

    code = "run-failed"
    http_status = 424

    run: dict[str, object] | None = None

    def __init__(self, run: dict[str, object]) -> None:
        self.run = run
        super().__init__(f"run {run['id']} of task {run['task']} {run['status']}: {run['why']}")

    @property
    def reason(self) -> str | None:
        """Why its last attempt ended (`error`, `timeout`, …), `None` where it never had one."""
        reason = self.run and self.run["reason"]
        return str(reason) if reason else None


class StaleClaimError(RunnerError):
    """The claim behind this write has ended; nothing was changed. Expected after a cut: drop the write."""

    code = "stale-claim"
    http_status = 409


class StoreError(RunnerError):
    """The store refused or failed."""

    code = "store"
    http_status = 503


class StoreFullError(StoreError):
    """No room on the store's disk; nothing was written, and it works again once there is room."""

    code = "store-full"
    http_status = 507


class StoreLockedError(StoreError):
    """Another runner has this store open; SQLite serves one at a time."""

    code = "store-locked"


class StoreVersionError(StoreError):
    """The store was written by a newer version of isolane."""

    code = "store-version"


class StoreUnavailableError(StoreError):
    """The store cannot be opened, read or reached."""

    code = "store-unavailable"


class InvariantError(RunnerError):
    """A bug in isolane; please report it with the message."""

    code = "bug"


def _tree(kind: type[RunnerError]) -> list[type[RunnerError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _tree(child))]


_BY_CODE = {kind.code: kind for kind in _tree(RunnerError)}

"""What foreign code raised, as text that can be sent: bounded, and whatever the exception does to prevent it.

An exception is foreign code too: its `__str__` may raise, exit, recurse without end or return a gigabyte, and its class
may lie about its name. Frames of the sandbox and of the import system are left out of the traceback.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable

import sandbox

_MESSAGE_BYTES = 8 << 10
_TRACEBACK_BYTES = 16 << 10
_CUT = "\n... cut ...\n"
_OURS = (f"{os.path.dirname(sandbox.__file__)}/", "<frozen importlib")


def describe(error: BaseException, hint: str = "", *, shown: Callable[[str], str] = str) -> dict[str, str]:
    """The error as `{"type", "message", "traceback"}`.

    Args:
        error: what was raised.
        hint: a sentence of the caller's own, put behind the message.
        shown: the name by which a path is shown in the traceback; empty for a file whose frames are left out.
    """
    kind, message = _kind(error), _message(error)
    if hint:
        message = f"{message} ({hint})"
    try:
        text = _cut(_traceback(error, shown), _TRACEBACK_BYTES)
    except BaseException:  # such as MemoryError: its frames still hold what filled the memory
        error.__traceback__ = None
        text = f"{kind}: {message}\n(there is no traceback: it could not be written)\n"
    return {"type": kind, "message": message, "traceback": f"{text}({hint})\n" if hint else text}


def _kind(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "MemoryError"  # also its subclasses: a lack of memory is told by this name
    # The plain `__name__` of a class could be overridden by its metaclass.
    name: str = type.__dict__["__name__"].__get__(type(error))
    return _cut(name, 200)


def _message(error: BaseException) -> str:
    try:
        message = str(error)
        if isinstance(error, SystemExit):  # only told where it happened at import
            message = f"the module left by sys.exit({error.code!r}) while it was imported"
        return _cut(message, _MESSAGE_BYTES)
    except BaseException as failure:
        return f"(its __str__ raised {_kind(failure)})"


def _traceback(error: BaseException, shown: Callable[[str], str]) -> str:
    from traceback import StackSummary, TracebackException  # noqa: PLC0415 - rarely needed

    report = TracebackException(type(error), error, error.__traceback__, compact=True)
    todo: list[TracebackException | None] = [report]
    while todo:
        if (part := todo.pop()) is None:
            continue
        frames = []
        for frame in part.stack:
            if not frame.filename.startswith(_OURS) and (name := shown(frame.filename)):
                frame.filename = name
                frames.append(frame)
        if isinstance(source := vars(part).get("filename"), str):  # of a SyntaxError
            part.filename = shown(source) or source
        part.stack = StackSummary.from_list(frames) if frames else None  # type: ignore[assignment]
        todo += (part.__cause__, part.__context__, *(part.exceptions or ()))
    return "".join(report.format())


def _cut(text: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8, beginning and end; what UTF-8 cannot carry is written as escapes."""
    # Not `text.encode`: what `__str__` returns may be of a class with methods of its own.
    data = str.encode(text, errors="backslashreplace")
    if len(data) <= limit:
        return data.decode()
    half = (limit - len(_CUT)) // 2
    return data[:half].decode(errors="ignore") + _CUT + data[-half:].decode(errors="ignore")

"""What a task raised, as text that can be sent: bounded, and whatever the exception does to prevent it.

An exception is task code too: its `__str__` may raise, exit, recurse without end or return a gigabyte, and its class
may lie about its name. The traceback is the task's own: frames of isolane and of the import system are left out, and
files are named as the project has them: `tasks/x.py`, or `shoplib/x.py` of a folder that `[code] packages` shows.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable

import runner
from runner.guest.loading import code_folder

Error = dict[str, str]

_MESSAGE_BYTES = 8 << 10
_TRACEBACK_BYTES = 16 << 10
_CUT = "\n... cut ...\n"
_ROOT = os.path.dirname(os.path.dirname(runner.__file__))  # noqa: PTH120 - pathlib costs a task two milliseconds
_OURS = (f"{_ROOT}/runner/", f"{_ROOT}/sandbox/", "<frozen importlib")


def describe(error: BaseException, hint: str = "") -> Error:
    """The error as `{"type", "message", "traceback"}`; `hint` is isolane's own, behind what the task said."""
    kind, message = _kind(error), _message(error)
    if hint:
        message = f"{message} ({hint})"
    try:
        text = _cut(_traceback(error), _TRACEBACK_BYTES)
    except BaseException:  # such as MemoryError: its frames still hold what filled the memory
        error.__traceback__ = None
        text = f"{kind}: {message}\n(there is no traceback: it could not be written)\n"
    return {"type": kind, "message": message, "traceback": f"{text}({hint})\n" if hint else text}


def _kind(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "MemoryError"  # also its subclasses: the runner tells a lack of memory by this name
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


def _traceback(error: BaseException) -> str:
    from traceback import StackSummary, TracebackException  # noqa: PLC0415 - most attempts do without

    shown = _names_of_files()
    report = TracebackException(type(error), error, error.__traceback__, compact=True)
    todo: list[TracebackException | None] = [report]
    while todo:
        if (part := todo.pop()) is None:
            continue
        frames = [frame for frame in part.stack if not frame.filename.startswith(_OURS)]
        for frame in frames:
            frame.filename = shown(frame.filename)
        if isinstance(name := vars(part).get("filename"), str):  # of a SyntaxError
            part.filename = shown(name)
        part.stack = StackSummary.from_list(frames) if frames else None  # type: ignore[assignment]
        todo += (part.__cause__, part.__context__, *(part.exceptions or ()))
    return "".join(report.format())


def _names_of_files() -> Callable[[str], str]:
    """What makes the path of a file inside the one that the project has it by; any other stays."""
    code = code_folder()
    if code is None:
        return str
    inside = re.compile(f"{re.escape(code)}/(?:packages/[0-9]+/)?")
    return lambda path: inside.sub("", path, count=1) if inside.match(path) else path


def _cut(text: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8, beginning and end; what UTF-8 cannot carry is written as escapes."""
    # Not `text.encode`: what `__str__` returns may be of a class with methods of its own.
    data = str.encode(text, errors="backslashreplace")
    if len(data) <= limit:
        return data.decode()
    half = (limit - len(_CUT)) // 2
    return data[:half].decode(errors="ignore") + _CUT + data[-half:].decode(errors="ignore")

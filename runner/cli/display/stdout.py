"""Standard output that cannot be written: one line on stderr and exit code 1, as for any other error.

Whoever reads a pipe may stop reading (`| head`): then the command ends without a word.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator

from runner.cli.lazy import Failed


class OutputError(Failed):
    """Standard output cannot be written, such as on a full disk."""


class _Stdout(io.TextIOWrapper):
    """Standard output whose failures can be told from those of other files."""

    def write(self, text: str, /) -> int:
        with _telling():
            return super().write(text)

    def flush(self) -> None:
        with _telling():
            super().flush()


@contextlib.contextmanager
def checked_stdout() -> Iterator[None]:
    """End the process as this module says where what is printed within cannot be written."""
    sys.stdout = _checked()
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OutputError as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(1)


def _checked() -> _Stdout:
    plain = sys.stdout
    if isinstance(plain, io.TextIOWrapper):
        return _Stdout(plain.detach(), plain.encoding, plain.errors, line_buffering=plain.line_buffering)
    # The caller closed it. Its number is taken, by what cannot be written: else a database might be given it.
    nothing = os.open(os.devnull, os.O_RDONLY)
    if nothing != 1:
        os.dup2(nothing, 1)
        os.close(nothing)
    return _Stdout(io.BufferedWriter(io.FileIO(1, "w", closefd=False)))


@contextlib.contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _give_up()
        raise
    except OSError as error:
        _give_up()
        raise OutputError(f"standard output cannot be written: {error.strerror}") from error


def _give_up() -> None:
    """Let what is still to be written go nowhere: the interpreter tries again when it ends."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)

"""What tasks, queues, tags and secrets may be called. Pure, and light: it runs inside every attempt that schedules.

A queue or a tag is the user's own word (a tenant, an address), so it may hold anything that prints. A task's name is
part of paths and patterns, so it is dotted words.
"""

from __future__ import annotations

from runner.errors import InvalidOptionError

LONGEST = 200


def check_queue(name: object) -> str:
    """The name of a queue, if it may be one.

    Raises:
        InvalidOptionError: no text, empty, over 200 characters, or with characters that do not print.
    """
    return _check_printable(name, "queue")


def check_tag(tag: object) -> str:
    """A tag, if it may be one; the rules are those of queues.

    Raises:
        InvalidOptionError: see `check_queue`.
    """
    return _check_printable(tag, "tag")


def check_task(name: object) -> str:
    """The name of a task, if it may be one: words of letters, digits, "_" and "-", joined by dots.

    Raises:
        InvalidOptionError: anything else, or over 200 characters.
    """
    text = _check_length(name, "task")
    words = text.split(".")
    if not all(word and word[0] != "-" and f"_{word.replace('-', '_')}".isidentifier() for word in words):
        raise InvalidOptionError(
            f'task must be named by words of letters, digits, "_" and "-", joined by dots: got {_shown(text)}'
        )
    return text


def check_secret(name: object) -> str:
    """The name of a secret, if it may be one: as variables of an environment are written, in capitals.

    Raises:
        InvalidOptionError: anything else, or over 200 characters.
    """
    text = _check_length(name, "secret")
    if not text.isascii() or not text.isidentifier() or text != text.upper():
        raise InvalidOptionError(
            f'secret must be named in capital letters, digits and "_", such as SMTP_PASSWORD: got {_shown(text)}'
        )
    return text


def task_name(module: str, function: str) -> str:
    """What a task is called that does not say so itself; `module` is its dotted path under the tasks folder."""
    return module if function == "run" else f"{module}.{function}"


def _check_printable(name: object, what: str) -> str:
    text = _check_length(name, what)
    if not text.isprintable() or text != text.strip():
        raise InvalidOptionError(
            f"{what} must be of characters that print, without spaces at its ends: got {_shown(text)}"
        )
    return text


def _check_length(name: object, what: str) -> str:
    if not isinstance(name, str):
        raise InvalidOptionError(f"{what} must be a text of 1 to {LONGEST} characters: got a {type(name).__name__}")
    if not 0 < len(name) <= LONGEST:
        raise InvalidOptionError(f"{what} must be a text of 1 to {LONGEST} characters: got {len(name)}")
    return name


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:60] + "...")

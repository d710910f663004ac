"""What tasks, queues, tags and secrets may be called. Pure, and light: it runs inside every attempt that schedules.

A queue or a tag is the user's own word (a tenant, an address), so it may hold anything that prints. A task's name is
part of paths and patterns, so it is dotted words. Each check takes the `place` of the name, for its error.
"""

from __future__ import annotations

from runner.domain import checks
from runner.domain.checks import refusal

_LONGEST = 200


def check_queue(name: object, place: str = "queue") -> str:
    """The name of a queue, if it may be one.

    Raises:
        InvalidOptionError: no text, empty, over 200 characters, or with characters that do not print.
    """
    text = checks.text(name, place, _LONGEST, 1)
    if not text.isprintable() or text != text.strip():
        raise refusal(place, "must be of characters that print, without spaces at its ends", text)
    return text


def check_tag(tag: object, place: str = "tag") -> str:
    """A tag, if it may be one; the rules are those of queues.

    Raises:
        InvalidOptionError: see `check_queue`.
    """
    return check_queue(tag, place)


def check_task(name: object, place: str = "task") -> str:
    """The name of a task, if it may be one: words of letters, digits, "_" and "-", joined by dots.

    Raises:
        InvalidOptionError: anything else, or over 200 characters.
    """
    text = checks.text(name, place, _LONGEST, 1)
    words = text.split(".")
    if not all(word and word[0] != "-" and f"_{word.replace('-', '_')}".isidentifier() for word in words):
        raise refusal(place, 'must be named by words of letters, digits, "_" and "-", joined by dots', text)
    return text


def check_secret(name: object, place: str = "secret") -> str:
    """The name of a secret, if it may be one: as variables of an environment are written, in capitals.

    Raises:
        InvalidOptionError: anything else, or over 200 characters.
    """
    text = checks.text(name, place, _LONGEST, 1)
    if not text.isascii() or not text.isidentifier() or text != text.upper():
        raise refusal(place, 'must be named in capital letters, digits and "_", such as SMTP_PASSWORD', text)
    return text


def task_name(module: str, function: str) -> str:
    """What a task is called that does not say so itself; `module` is its dotted path under the tasks folder."""
    return module if function == "run" else f"{module}.{function}"

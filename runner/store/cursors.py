"""Cursors of lists: what they go on after, in a form that nobody is tempted to make up."""

from __future__ import annotations

import base64
import binascii

from runner.errors import InvalidOptionError
from runner.store.storable_text import is_kept


def cursor_at(kind: str, position: str) -> str:
    """The cursor of a list of this kind that goes on after this position."""
    return base64.urlsafe_b64encode(f"{kind}:{position}".encode()).decode()


def position_of(kind: str, cursor: str) -> str:
    """The position in a cursor.

    Raises:
        InvalidOptionError: it is not one that a list of this kind gave.
    """
    try:
        named, _, position = base64.b64decode(cursor, altchars=b"-_", validate=True).decode().partition(":")
        if named == kind and is_kept(position) and (kind != "run" or 0 <= int(position) < 2**63):
            return position
    except (binascii.Error, ValueError):
        pass
    raise InvalidOptionError(f"cursor {cursor!r} is not one that a list gave: leave it out to begin anew")

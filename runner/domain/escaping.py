"""Text that came from elsewhere, made harmless to whatever shows it.

Names of files, errors of modules and lines of logs may hold what a terminal takes as a command (its title, its
clipboard, its colours), what turns the direction of text, and what looks like a line of its own. Everything that is
printed or logged goes through here once, at the place where it leaves: `output` and `render` in `runner/cli/display/`,
and the log's `logformat`.
"""

from __future__ import annotations

import json
import re

#: All that is not shown as itself: control characters, separators of lines, marks and overrides of the direction of
#: text, tags, and what is no character. What joins letters (U+200B to U+200D) is part of words and emoji, and stays.
_UNSAFE = (
    "\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u180e\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f"
)
_IN_A_LINE = re.compile(f"[{_UNSAFE}]")
#: What JSON, which escapes control characters by itself, lets through.
_IN_JSON = re.compile(f"[{_UNSAFE}]".replace("\x00-\x08\x0a-\x1f", ""))
_SHORT = {"\n": "\\n", "\r": "\\r"}
_IN_LINES = re.compile(f"[{_UNSAFE}]".replace("\x0a-", "\x0b-"))


def escaped(text: str) -> str:
    """`text` as one line, with what is unsafe as escapes; a tab stays."""
    return _IN_A_LINE.sub(_escape, text)


def escaped_lines(text: str) -> str:
    """The same of text that may have several lines."""
    return _IN_LINES.sub(_escape, text)


def escaped_json(text: str) -> str:
    """JSON `text` with what is unsafe in its strings as JSON's own escapes, so that it says the same."""
    return _IN_JSON.sub(lambda match: json.dumps(match[0])[1:-1], text)


def is_plain(text: str) -> bool:
    """Whether it is shown as it is, as one line without tabs."""
    return "\t" not in text and _IN_A_LINE.search(text) is None


def _escape(match: re.Match[str]) -> str:
    if match[0] in _SHORT:
        return _SHORT[match[0]]
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

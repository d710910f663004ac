"""One way to write each path: what is written otherwise is not found.

Names stand in paths percent-encoded (`/api/v1/queues/a%2Fb`), so that there are many ways to write one path, and every
part that looks at paths would have to know all of them. RFC 3986, 6.2.2 says which one is normal: characters that need
no encoding have none, the others are in capitals, and there are no empty segments and no segments of dots. Which of the
characters with a meaning of their own (`!$&'()*+,;=:@`) a client encodes in a name is its own affair.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

_SEGMENT = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})+", re.ASCII)
#: The percent-encoded forms of A-Z, a-z, 0-9 and - . _ ~, and of U+0000, which no name may hold.
_NEEDLESS = re.compile("%(?:00|2D|2E|3[0-9]|4[1-9A-F]|5[0-9A]|5F|6[1-9A-F]|7[0-9A]|7E)")


def is_canonical(path: str) -> bool:
    """Whether a raw path, without its query, is written in the one way that counts."""
    root, *segments = path.split("/")
    return root == "" and path != "/" and all(map(_is_canonical_segment, segments)) and _is_utf8(path)


def _is_canonical_segment(segment: str) -> bool:
    return bool(_SEGMENT.fullmatch(segment)) and segment not in (".", "..") and not _NEEDLESS.search(segment)


def _is_utf8(path: str) -> bool:
    try:
        unquote_to_bytes(path).decode()
    except UnicodeError:
        return False
    return True

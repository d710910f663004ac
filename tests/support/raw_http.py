"""HTTP written by hand: clients tidy requests up in ways of their own."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit


async def raw(url: str, request: bytes | str) -> bytes:
    """All that is answered until the server closes the connection; the client sends nothing after `request`."""
    parts = urlsplit(url)
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(request.encode("latin-1") if isinstance(request, str) else request)
        try:
            return await reader.read()
        finally:
            writer.close()


def status(answer: bytes) -> int:
    """The status of an answer."""
    return int(answer.split(b" ", 2)[1])


def problem(answer: bytes) -> dict[str, Any]:
    """The problem document of an answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    document: dict[str, Any] = json.loads(body)
    return document

"""One granted host and port, as people write it.

A host is a name or a literal address. Names are kept as DNS has them (lower case, IDNA), addresses as the kernel writes
them, so that two spellings of one endpoint are equal. Ambiguous texts are refused: "1.2", "0x7f.1" and "::ffff:1.2.3.4"
are addresses to some programs only.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass

#: How many endpoints one attempt may be granted.
MOST = 32

_EXAMPLE = '"host:port", such as "smtp.example.com:587"'
_SPLIT = re.compile(r"(?P<host>\[[^\[\]]*\]|[^\[\]:]*):(?P<port>[0-9]{1,5})", re.ASCII)
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NUMERIC_END = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_LONGEST_NAME = 253


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One TCP service that may be connected to.

    Attributes:
        host: a name, or an address without brackets.
        port: from 1 to 65535.
        family: `socket.AF_INET` or `AF_INET6` for an address, 0 for a name.
    """

    host: str
    port: int
    family: int = 0

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.family == socket.AF_INET6 else f"{self.host}:{self.port}"


def parse(text: object) -> Endpoint:
    """Read "host:port". Raises `ValueError`; its text is the rest of a sentence that begins with the place."""
    if not isinstance(text, str):
        raise ValueError(f"must be text, {_EXAMPLE}")  # noqa: TRY004 - one kind of error for whatever is written
    if "*" in text:
        raise ValueError("cannot be granted by a wildcard: every name gets an address of its own, so list each name")
    if "/" in text or "@" in text:
        raise ValueError(f'must be {_EXAMPLE}, without "https://", user and path')
    if text.count(":") > 1 and "[" not in text:
        raise ValueError(f'must be {_EXAMPLE}; an IPv6 address goes in brackets: "[2001:db8::5]:443"')
    found = _SPLIT.fullmatch(text)
    if found is None:
        raise ValueError(f"must be {_EXAMPLE}; the port is a number and cannot be left out")
    host, port = found["host"], int(found["port"])
    if not 1 <= port <= 65535:
        raise ValueError("must have a port from 1 to 65535")
    if host.startswith("["):
        return Endpoint(_ipv6(host[1:-1]), port, socket.AF_INET6)
    if (address := _packed(socket.AF_INET, host)) is not None:
        if address[0] == 0 or address[0] >= 224:
            raise ValueError("must have an address that TCP can connect to")
        return Endpoint(socket.inet_ntop(socket.AF_INET, address), port, socket.AF_INET)
    return Endpoint(_name(host), port)


def parse_all(texts: tuple[str, ...]) -> tuple[Endpoint, ...]:
    """Read a whole list.

    Raises `ValueError` for the first that is wrong or stands there twice; its text follows the name of the list.
    """
    if len(texts) > MOST:
        raise ValueError(f" may name at most {MOST} hosts and ports: got {len(texts)}")
    endpoints: list[Endpoint] = []
    for index, text in enumerate(texts):
        try:
            endpoint = parse(text)
        except ValueError as error:
            raise ValueError(f"[{index}] {error}: got {text!a:.80}") from None
        if endpoint in endpoints:
            raise ValueError(f"[{index}] stands there twice: {endpoint}")
        endpoints.append(endpoint)
    return tuple(endpoints)


def _ipv6(host: str) -> str:
    address = _packed(socket.AF_INET6, host)
    if address is None:
        raise ValueError('must have an IPv6 address in its brackets, such as "[2001:db8::5]:443", and no zone')
    if address[:12] == bytes(10) + b"\xff\xff":
        raise ValueError("has an IPv4 address in the clothes of IPv6: write it as IPv4")
    if address == bytes(16) or address[0] == 0xFF or (address[0] == 0xFE and address[1] & 0xC0 == 0x80):
        raise ValueError("must have an address that TCP can connect to; link-local ones mean nothing without a zone")
    return socket.inet_ntop(socket.AF_INET6, address)


def _packed(family: int, host: str) -> bytes | None:
    try:
        return socket.inet_pton(family, host)
    except (OSError, ValueError):
        return None


def _name(host: str) -> str:
    try:
        name = (host if host.isascii() else host.encode("idna").decode()).lower()
    except UnicodeError:
        raise ValueError("must have a host that DNS can name") from None
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise ValueError(f"must be {_EXAMPLE}; a host is letters, digits, dashes and dots, or an address")
    if _NUMERIC_END.fullmatch(name):
        raise ValueError('must have a name, or a whole address such as "10.0.0.5:5432"')
    return name

"""Under which names this server may be called, and from which web pages.

A web page can have a browser call any address, this machine's own too, and with DNS rebinding the browser takes the
answer for the page's own. So a server that listens on loopback answers only where the header `Host` names this machine,
and no server answers a page of another origin: what a browser says of the page must equal what it calls.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import ip_address

from aiohttp import hdrs, web

#: A name or a literal address, and a port or none.
_HOST = re.compile(r"(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9_.-]{1,253}))(?::\d{0,5})?", re.ASCII | re.IGNORECASE)


class Hosts:
    """The names that count.

    Attributes:
        names: names and literal addresses that are this server's beside those of every machine for itself.
        is_open: whether any other name counts as well, as where a network calls and nobody said by which name.
    """

    def __init__(self, names: Collection[str], *, is_open: bool) -> None:
        self._names = {name.lower() for name in names if name} | {"localhost"}
        self._is_open = is_open

    def check(self, request: web.BaseRequest) -> None:
        """Refuse a call under another name, or from a page of another origin.

        Raises:
            HTTPBadRequest: no header `Host`, more than one, or one that names nothing.
            HTTPMisdirectedRequest: another machine is named.
            HTTPForbidden: a page of another origin calls.
        """
        hosts = request.headers.getall(hdrs.HOST, [])
        named = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if named is None:
            raise web.HTTPBadRequest(text="send one header `Host` with the name under which this server is called")
        name = (named[1] or named[2]).lower()
        if not (self._is_open or name in self._names or _is_loopback(name)):
            raise web.HTTPMisdirectedRequest(
                text=f"this server is not {name}: call it as localhost or 127.0.0.1, or add the name to hosts in "
                "[server] of its config"
            )
        for origin in request.headers.getall(hdrs.ORIGIN, ()):
            if origin.partition("://")[2].lower() != hosts[0].lower():
                raise web.HTTPForbidden(
                    text="a web page of another origin may not call this server: have the page's own server call it"
                )


def is_loopback_only(addresses: Collection[str]) -> bool:
    """Whether all of these listening addresses can be reached from this machine only."""
    return all(map(_is_loopback, addresses))


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False

"""A TLS server's side of a test, with a certificate for `localhost` of an authority of its own."""

from __future__ import annotations

import ssl
from pathlib import Path

_HERE = Path(__file__).parent

#: What a client has to trust.
AUTHORITY = (_HERE / "authority.pem").read_text()


def server_context() -> ssl.SSLContext:
    """For a server that is `localhost`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_HERE / "localhost.pem")
    return context

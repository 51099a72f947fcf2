# SPDX-License-Identifier: MIT
"""One request to a web server, over a socket of its own."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from email.message import Message
from http.client import HTTPConnection, HTTPException, IncompleteRead
from typing import NamedTuple
from urllib.parse import urlsplit

from tessmon.config.model import Vlbimon
from tessmon.doctor.patience import Patience
from tessmon.doctor.reach import STEP_S, Peer, UnreachableError, tcp_socket, tls_socket, trusting, why

_CHUNK_BYTES = 65_536
_HEADERS = {"User-Agent": "tessmon", "Accept": "application/json", "Connection": "close"}


class Page(NamedTuple):
    """What came.

    Attributes:
        status, headers, body: of HTTP.
        sent_s: when the request went out, by the wall clock [s since 1970 UTC].
        took_s: from then until its answer began [s].
        tls_version: empty without TLS.
    """

    status: int
    headers: Message
    body: bytes
    sent_s: float
    took_s: float
    tls_version: str

    def all(self, name: str) -> Sequence[str]:
        """All headers of a name."""
        return self.headers.get_all(name) or []


def ask(settings: Vlbimon, server: str, target: str, headers: Mapping[str, str], patience: Patience) -> Page:
    """A GET of what stands behind the server's URL.

    Raises:
        UnreachableError: there is no whole answer.
        OutOfTimeError: no time is left.
    """
    parts = urlsplit(server)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    peer = Peer("the server", host, port, "[vlbimon] servers", "[vlbimon] ca_file")
    opened = tls_socket(peer, _context(settings), patience) if secure else tcp_socket(host, port, patience)
    tls_version = (opened.version() or "") if isinstance(opened, ssl.SSLSocket) else ""
    connection = HTTPConnection(host, port)
    connection.sock = opened
    with closing(opened), closing(connection):
        try:
            opened.settimeout(patience.left_s(STEP_S))
            sent_s, began_s = time.time(), time.monotonic()
            connection.request(
                "GET", parts.path + target, headers={**_HEADERS, "Host": parts.netloc, **headers}
            )
            response = connection.getresponse()
            took_s = time.monotonic() - began_s
            body = b""
            while chunk := response.read(_CHUNK_BYTES):
                body += chunk
                patience.left_s(STEP_S)
                if len(body) > settings.max_reply_bytes:
                    raise UnreachableError(
                        f"{server} answers with more than {settings.max_reply_bytes} bytes"
                    )
            if response.length:
                raise IncompleteRead(b"", response.length)
        except (OSError, HTTPException) as error:
            raise UnreachableError(
                f"{server} gives no whole answer ({why(error) or type(error).__name__})"
            ) from error
        return Page(response.status, response.headers, body, sent_s, took_s, tls_version)


def _context(settings: Vlbimon) -> ssl.SSLContext:
    try:
        return trusting(settings.ca_file)
    except (OSError, ValueError) as error:
        raise UnreachableError(f"[vlbimon] ca_file {settings.ca_file} can't be used: {why(error)}") from error

# SPDX-License-Identifier: MIT
"""Where name and password may go, and what it means when a vlbimon server does not take them, in one sentence each."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from tessmon.config.logins import BASIC, Login

_FORBIDDEN = 403


def forbidden_to_send(server: str) -> str | None:
    """Why nobody may send a password to a server; None: TLS, or this machine, where nobody else can listen."""
    parts = urlsplit(server)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return None
    try:
        if ip_address(parts.hostname or "").is_loopback:
            return None
    except ValueError:
        pass
    return (
        f"name and password are not sent to {server}, where others could read them on their way: "
        "write https:// in [vlbimon] servers"
    )


def why_refused(
    server: str, login: Login | None, status: int, challenges: Sequence[str], *, has_file: bool
) -> str:
    """What an answer of 401 or 403 means.

    Args:
        server: its URL.
        login: as whom we asked, None for nobody.
        status: of HTTP.
        challenges: the ``WWW-Authenticate`` headers.
        has_file: there is an auth_file.
    """
    if login is None:
        what = "names nobody for it" if has_file else "is not set"
        return f"{server} wants a name and password, and [vlbimon] auth_file {what}"
    asked = {each.split(" ")[0].lower() for each in challenges}
    if "digest" in asked and login.scheme == BASIC:
        return f"{server} wants digest authentication: write digestauth in [vlbimon] auth_file"
    if "basic" in asked and login.scheme != BASIC and "digest" not in asked:
        return f"{server} knows no digest authentication: write basicauth in [vlbimon] auth_file"
    if status == _FORBIDDEN:
        return f"{server} lets {login.name} make no session: ask its administrators for the right"
    return f"{server} does not take the name and password: correct [vlbimon] auth_file"


def basic_password(login: Login) -> str:
    """The value of an ``Authorization`` header (Source: RFC 7617)."""
    pair = b64encode(f"{login.name}:{login.password}".encode()).decode()
    return f"Basic {pair}"

# SPDX-License-Identifier: MIT
"""Who may come in: sessions, and names with passwords, by basic or digest authentication (RFC 7617, RFC 7616)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import secrets
import time
from collections.abc import Callable
from typing import Literal
from urllib.request import parse_http_list, parse_keqv_list

Scheme = Literal["basic", "digest", "digest-sha256", "digest-2069"]
REALM = "vlbimon"
NAME, PASSWORD = "Your Name", "pass:wörd"
_HASHES = {"digest": hashlib.md5, "digest-sha256": hashlib.sha256, "digest-2069": hashlib.md5}
_ALGORITHMS = {"digest": "MD5", "digest-sha256": "SHA-256", "digest-2069": ""}


class Keys:
    """Names and passwords.

    Attributes:
        scheme: what a client must speak: basic; digest with MD5 or SHA-256; digest as of RFC 2069, without ``qop``.
        forbidden: a right password is answered with 403.
    """

    def __init__(self, scheme: Scheme = "basic", name: str = NAME, password: str = PASSWORD) -> None:
        self.scheme: Scheme = scheme
        self.name = name
        self.password = password
        self.forbidden = False
        self._nonces: dict[str, int] = {}
        self._stale: set[str] = set()

    def forget_nonces(self) -> None:
        """Digest's challenges so far are stale: a client is to take the new one."""
        self._stale |= set(self._nonces)
        self._nonces.clear()

    def status(self, header: str | None, method: str, uri: str) -> int:
        """200, 401 or 403 for an ``Authorization`` header."""
        if not self._right(header or "", method, uri):
            return 401
        return 403 if self.forbidden else 200

    def challenge(self, header: str | None) -> str:
        """``WWW-Authenticate`` for an answer of 401."""
        if self.scheme == "basic":
            return f'Basic realm="{REALM}"'
        nonce = secrets.token_hex(12)
        self._nonces[nonce] = 0
        algorithm = _ALGORITHMS[self.scheme]
        parts = [f'realm="{REALM}"', f'nonce="{nonce}"', 'opaque="5ccc069c403ebaf9"']
        if algorithm:
            parts += [f"algorithm={algorithm}", 'qop="auth,auth-int"']
        if _fields(header or "").get("nonce") in self._stale:
            parts.append("stale=true")
        return "Digest " + ", ".join(parts)

    def _right(self, header: str, method: str, uri: str) -> bool:
        scheme, _, rest = header.partition(" ")
        if self.scheme == "basic":
            try:
                said = base64.b64decode(rest, validate=True).decode()
            except (binascii.Error, ValueError):
                return False
            return scheme.lower() == "basic" and said == f"{self.name}:{self.password}"
        return scheme.lower() == "digest" and self._digest(_fields(header), method, uri)

    def _digest(self, said: dict[str, str], method: str, uri: str) -> bool:
        def hashed(*parts: str) -> str:
            return _HASHES[self.scheme](":".join(parts).encode()).hexdigest()

        nonce, tail = said.get("nonce", ""), ()
        if nonce not in self._nonces or said.get("uri") != uri or said.get("realm") != REALM:
            return False
        if self.scheme != "digest-2069":
            count = int(said.get("nc", "0"), 16)
            if count <= self._nonces[nonce] or said.get("qop") != "auth" or not said.get("cnonce"):
                return False
            self._nonces[nonce] = count
            tail = (said["nc"], said["cnonce"], said["qop"])
        secret = hashed(self.name, REALM, self.password)
        wanted = hashed(secret, nonce, *tail, hashed(method, uri))
        return said.get("username") == self.name and said.get("response") == wanted


def _fields(header: str) -> dict[str, str]:
    try:
        return parse_keqv_list(parse_http_list(header.partition(" ")[2]))
    except (ValueError, IndexError):  # the last one: basic, with one = at its end
        return {}


class Sessions:
    """Sessions that were made: id → when it was used last.

    Attributes:
        life_s: how long one lives that is not used [s].
        made: how many there were.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.life_s = 3600.0
        self.made = 0
        self._clock = clock
        self._used: dict[str, float] = {}
        self._numbers = itertools.count(1)

    def make(self) -> str:
        """A new one's id."""
        self.made += 1
        name = f"{next(self._numbers)}-{secrets.token_hex(8)}"
        self._used[name] = self._clock()
        return name

    def alive(self, name: str | None) -> bool:
        """Whether it lives; looking keeps it alive."""
        if name not in self._used or self._clock() - self._used[name] > self.life_s:
            return False
        self._used[name] = self._clock()
        return True

    def expire(self) -> None:
        """All that were made are unknown now."""
        self._used.clear()

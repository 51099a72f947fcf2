# SPDX-License-Identifier: MIT
"""HTTP digest authentication: shows a server that we know a password, and not the password.

Source: RFC 7616 (and RFC 2617 for servers that name no ``qop``).
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence

_ALGORITHMS: Mapping[str, Callable[[bytes], hashlib._Hash]] = {
    "SHA-256": hashlib.sha256,
    "MD5": lambda text: hashlib.md5(text, usedforsecurity=False),
}
"""Those we know, the better one first."""

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PART = re.compile(rf'[\s,]*({_TOKEN})(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))|(?=\s|$|,))', re.DOTALL)
"""``name=value``, ``name="value"``, or the name of a scheme."""
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_MAX_HEADER_LENGTH = 8192


class Digest:
    """Answers to one server's challenges.

    Args:
        name, password: who we are.
        make_cnonce: a fresh word of our own for each answer.
    """

    def __init__(
        self, name: str, password: str, make_cnonce: Callable[[], str] = lambda: secrets.token_hex(16)
    ) -> None:
        self._name = name
        self._password = password
        self._make_cnonce = make_cnonce
        self._challenge: Mapping[str, str] = {}
        self._used = 0

    @property
    def challenged(self) -> bool:
        """Whether there is a challenge to answer."""
        return bool(self._challenge)

    def take(self, headers: Sequence[str]) -> bool:
        """Take up the best challenge among ``WWW-Authenticate`` headers, and tell whether another try makes sense.

        Returns:
            False when there is none that we can answer, or when the last answer was refused for what it says: a
            wrong name or password, and not a nonce that is too old.
        """
        answered = self.challenged
        found = [each for header in headers for each in challenges(header) if _known(each)]
        best = min(found, key=lambda each: list(_ALGORITHMS).index(_algorithm(each)), default=None)
        self._challenge, self._used = best or {}, 0
        return best is not None and (not answered or best.get("stale", "").lower() == "true")

    def answer(self, method: str, uri: str) -> str:
        """The value of an ``Authorization`` header.

        Args:
            method: of the request: GET.
            uri: path and query as they go out.
        """
        given = self._challenge
        self._used += 1
        count, cnonce = f"{self._used:08x}", self._make_cnonce()

        def digest(text: str) -> str:
            return _ALGORITHMS[_algorithm(given)](text.encode()).hexdigest()

        realm, nonce = given["realm"], given["nonce"]
        secret = digest(f"{self._name}:{realm}:{self._password}")
        asked = digest(f"{method}:{uri}")
        with_qop = "qop" in given
        between = f"{nonce}:{count}:{cnonce}:auth" if with_qop else nonce
        hashed = given.get("userhash", "").lower() == "true"
        name = digest(f"{self._name}:{realm}") if hashed else self._name
        parts = [
            f"username={_quoted(name)}",
            f"realm={_quoted(realm)}",
            f"uri={_quoted(uri)}",
            f"algorithm={_algorithm(given)}",
            f"nonce={_quoted(nonce)}",
            *((f"nc={count}", f"cnonce={_quoted(cnonce)}", "qop=auth") if with_qop else ()),
            f"response={_quoted(digest(f'{secret}:{between}:{asked}'))}",
            *((f"opaque={_quoted(given['opaque'])}",) if "opaque" in given else ()),
            *(("userhash=true",) if hashed else ()),
        ]
        return f"Digest {', '.join(parts)}"


def challenges(header: str) -> Iterator[Mapping[str, str]]:
    """The digest challenges of a ``WWW-Authenticate`` header: names in lower case → values."""
    scheme, found, place = "", dict[str, str](), 0
    header = header[:_MAX_HEADER_LENGTH]
    while place < len(header):
        part = _PART.match(header, place)
        if part is None:
            break
        name, quoted, plain = part.groups()
        if quoted is None and plain is None:
            if scheme == "digest":
                yield found
            scheme, found = name.lower(), {}
        else:
            found[name.lower()] = _ESCAPED.sub(r"\1", quoted) if quoted is not None else plain
        place = part.end()
    if scheme == "digest":
        yield found


def _known(challenge: Mapping[str, str]) -> bool:
    qop = {each.strip().lower() for each in challenge.get("qop", "auth").split(",")}
    return {"realm", "nonce"} <= challenge.keys() and "auth" in qop and _algorithm(challenge) in _ALGORITHMS


def _algorithm(challenge: Mapping[str, str]) -> str:
    return challenge.get("algorithm", "MD5").upper()


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

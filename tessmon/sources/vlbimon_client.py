# SPDX-License-Identifier: MIT
"""What can be asked of a vlbimon server, and what its answers are.

Source: the API as clients in production use it: sessions by name and password, snapshots by cookies alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import ujson
from twisted.internet.defer import Deferred

from tessmon.config.logins import BASIC, Login, login_for, read_logins
from tessmon.config.model import Vlbimon
from tessmon.errors import TessmonError
from tessmon.sources.http_date import http_date_s
from tessmon.sources.retry_after import retry_after_s
from tessmon.sources.vlbimon_digest import Digest
from tessmon.sources.vlbimon_login import basic_password, forbidden_to_send, why_refused
from tessmon.sources.vlbimon_questions import Question, query, questions
from tessmon.sources.web_server import Answer, NoAnswerError, TooLongError, WebServer

__all__ = [
    "LoginRefused",
    "Malformed",
    "NotUsable",
    "Refused",
    "Reply",
    "Unreachable",
    "VlbimonClient",
    "VlbimonError",
    "questions",
]

SESSION_COOKIE, CURSOR_COOKIE = "sessionid", "snap_recvTime"
MAX_COOKIE_LENGTH = 4096
_MAX_SESSION_BYTES = 65_536
_OK, _UNAUTHORIZED, _FORBIDDEN, _TOO_MANY, _UNAVAILABLE = 200, 401, 403, 429, 503
_HEADERS = {"user-agent": "tessmon", "accept": "application/json"}


class VlbimonError(TessmonError):
    """A call failed.

    Attributes:
        status: of HTTP, 0 when there was no answer.
        retry_after_s: how long the server wants to be left alone [s], None when it doesn't say.
        for_good: only a person can mend it.
    """

    for_good = False

    def __init__(self, sentence: str, status: int = 0, wait_s: float | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.retry_after_s = wait_s

    @property
    def session_is_over(self) -> bool:
        """Whether a new session may help."""
        return self.status in (_UNAUTHORIZED, _FORBIDDEN)

    @property
    def is_bad_answer(self) -> bool:
        """Whether there was an answer that could be due to what was asked, and not to how the server is."""
        return self.status not in (0, _UNAUTHORIZED, _FORBIDDEN, _TOO_MANY, _UNAVAILABLE)


class Unreachable(VlbimonError):  # noqa: N818 - what the operator reads
    """No answer, or none in time, or one that was cut."""


class Refused(VlbimonError):  # noqa: N818
    """An answer with a status that is no success."""


class LoginRefused(Refused):
    """The server, or we ourselves, don't take the name and password."""

    for_good = True


class NotUsable(VlbimonError):  # noqa: N818
    """The configuration allows no call at all."""

    for_good = True


class Malformed(VlbimonError):  # noqa: N818
    """An answer that is not what it should be."""


class Reply(NamedTuple):
    """A good answer.

    Attributes:
        body: as it came.
        cursor: that it brought, None for none.
        took_s: how long it took [s].
        status: of HTTP.
        ahead_s: how far our clock was ahead of the server's, 0 when it did not tell its time [s].
    """

    body: bytes
    cursor: str | None
    took_s: float
    status: int
    ahead_s: float = 0.0


class VlbimonClient:
    """One server; one call at a time.

    Args:
        settings: the table of the configuration.
        server: URL of the server.
        reactor: the loop.
        now_ns: wall clock.

    Attributes:
        server: URL of the server.
        session_id: of the session that snapshots are asked with; None before there is one.

    Raises:
        NotUsable: the file of trusted authorities can't be used.
    """

    def __init__(
        self, settings: Vlbimon, server: str, reactor: Any, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self.server = server
        self.session_id: str | None = None
        self._settings = settings
        self._now_ns = now_ns
        self._path = urlsplit(server).path
        try:
            self._web = WebServer(server, "vlbimon", settings, settings.ca_file, reactor)
        except ValueError as error:
            raise NotUsable(str(error)) from error
        self._login: Login | None = None
        self._digest: Digest | None = None
        self._login_read = False

    async def masterlist(self) -> Reply:
        """All parameters and stations, in the server's own shape; nobody need log in for it.

        Raises:
            VlbimonError: it failed; so it is with all calls here.
        """
        return self._good(await self._ask("GET", "/static/masterlist.json", {}))

    async def snapshot(self, cursor: str | None) -> Reply:
        """The newest value of each parameter that came after the cursor; all when there is no cursor."""
        answer = await self._ask("GET", "/data/snapshot", self._cookies(cursor))
        return self._good(answer, _new_cursor(answer))

    async def history(
        self, stations: Sequence[str], fields: Sequence[str], start_s: int, end_s: int
    ) -> Reply:
        """All values of these parameters at these stations in a window [s since 1970 UTC]; see `questions`."""
        self._read_login()
        target = f"/data/history?{query(Question(stations, fields, start_s, end_s))}"
        return self._good(await self._ask_as("GET", target, self._cookies(None)))

    async def check_session(self, session_id: str) -> bool:
        """Whether a session lives; it is ours from then on.

        Raises:
            VlbimonError: the server can't tell now.
        """
        self._read_login()
        self.session_id = session_id
        answer = await self._ask_as("PATCH", f"/session/{quote(session_id, safe='')}", self._cookies(None))
        if answer.status == _OK:
            return True
        self.session_id = None
        if (
            answer.status in (_UNAUTHORIZED, _FORBIDDEN) or 400 <= answer.status < _TOO_MANY
        ):  # 404: it is over
            return False
        raise self._refused(answer)

    async def open_session(self) -> str:
        """Make a session, which is ours from then on; its id.

        Raises:
            LoginRefused: name or password are wrong.
            VlbimonError: it failed otherwise.
        """
        self._login_read = False
        self._read_login()
        answer = await self._ask_as("POST", "/session", {})
        if answer.status in (_UNAUTHORIZED, _FORBIDDEN):
            has_file = self._settings.auth_file is not None
            challenges = answer.header_list("www-authenticate")
            why = why_refused(self.server, self._login, answer.status, challenges, has_file=has_file)
            raise LoginRefused(why, answer.status)
        if not 200 <= answer.status < 300:
            raise self._refused(answer)
        try:
            session_id = ujson.loads(answer.body[:_MAX_SESSION_BYTES])["id"]
        except (ValueError, TypeError, LookupError, RecursionError):
            session_id = None
        if not isinstance(session_id, str) or not _fits_cookie(session_id):
            raise Malformed(
                f"{self.server} made no session: its answer has no id that can be used", answer.status
            )
        self.session_id = session_id
        return session_id

    def close(self) -> Deferred[None]:
        """A Deferred that fires when no connection is left."""
        return self._web.close()

    # Inside.

    async def _ask(self, method: str, target: str, headers: dict[str, str]) -> Answer:
        try:
            return await self._web.ask(method, target, {**_HEADERS, **headers})
        except TooLongError as error:
            raise Malformed(str(error), _OK) from None
        except NoAnswerError as error:
            raise Unreachable(str(error)) from error

    async def _ask_as(self, method: str, target: str, headers: dict[str, str]) -> Answer:
        """With name and password, when there are any."""
        login, digest = self._login, self._digest
        if login is None:
            return await self._ask(method, target, headers)
        if digest is None:
            return await self._ask(method, target, {**headers, "authorization": basic_password(login)})
        while True:
            said = {"authorization": digest.answer(method, self._path + target)} if digest.challenged else {}
            answer = await self._ask(method, target, {**headers, **said})
            if answer.status != _UNAUTHORIZED or not digest.take(answer.header_list("www-authenticate")):
                return answer

    def _read_login(self) -> None:
        """Name and password from their file, again for each new session.

        Raises:
            LoginRefused: the file can't be used, or nobody may send them this way.
        """
        if self._login_read:
            return
        path = self._settings.auth_file
        try:
            login = login_for(read_logins(path), self.server) if path else None
        except ValueError as error:
            raise LoginRefused(f"[vlbimon] auth_file: {error}") from None
        why_not = login and forbidden_to_send(self.server)
        if why_not:
            raise LoginRefused(why_not)
        if login != self._login:
            self._digest = (
                Digest(login.name, login.password) if login is not None and login.scheme != BASIC else None
            )
        self._login, self._login_read = login, True

    def _cookies(self, cursor: str | None) -> dict[str, str]:
        pairs = [(SESSION_COOKIE, self.session_id), (CURSOR_COOKIE, cursor)]
        joined = "; ".join(f"{name}={value}" for name, value in pairs if value and _fits_cookie(value))
        return {"cookie": joined} if joined else {}

    def _good(self, answer: Answer, cursor: str | None = None) -> Reply:
        if answer.status != _OK:
            raise self._refused(answer)
        theirs_s, ours_s = http_date_s(answer.header("date")), self._now_ns() / 1e9
        ahead_s = 0.0 if theirs_s is None else ours_s - theirs_s
        return Reply(answer.body, cursor, answer.took_s, answer.status, ahead_s)

    def _refused(self, answer: Answer) -> Refused:
        wait_s = retry_after_s(answer.header("retry-after"), answer.header("date"), self._now_ns() / 1e9)
        why = f"{self.server} answers with status {answer.status}"
        if 300 <= answer.status < 400:
            why = f"{why}, a redirection: correct [vlbimon] servers"
        elif wait_s is not None:
            why = f"{why} and asks to be left alone for {wait_s:.0f} s"
        return Refused(why, answer.status, wait_s)


def _new_cursor(answer: Answer) -> str | None:
    """The value of the cursor's cookie as it came; None when there is none that could be sent back."""
    found = None
    for header in answer.header_list("set-cookie"):
        name, _, value = header.partition(";")[0].partition("=")
        value = value.strip(" \t")
        if name.strip(" \t") == CURSOR_COOKIE and value and _fits_cookie(value):
            found = value
    return found


def _fits_cookie(value: str) -> bool:
    """Whether a text can be the value of a cookie without beginning something else."""
    if not 0 < len(value) <= MAX_COOKIE_LENGTH or value != value.strip(" "):
        return False
    return all(each != ";" and (0x20 <= ord(each) < 0x7F or 0xA0 <= ord(each) <= 0xFF) for each in value)

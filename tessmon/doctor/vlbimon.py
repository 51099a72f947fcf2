# SPDX-License-Identifier: MIT
"""The vlbimon servers: whether each answers, what its masterlist is worth, whether it takes our login, and its clock.

Two light requests a server, three with digest authentication. No session is made or asked for, and no snapshot: a
running service has both for itself.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Generator, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from tessmon.config.logins import BASIC, Login, login_for, read_logins
from tessmon.config.model import Vlbimon
from tessmon.doctor.clock import Offset, judged_offset
from tessmon.doctor.finding import Finding, Wishes, fault, milliseconds, not_checked, ok, unreadable, warning
from tessmon.doctor.patience import Patience
from tessmon.doctor.reach import UnreachableError
from tessmon.doctor.web import Page, ask
from tessmon.sources.http_date import http_date_s
from tessmon.sources.vlbimon_client import Malformed, Reply
from tessmon.sources.vlbimon_cutting import listed
from tessmon.sources.vlbimon_digest import Digest
from tessmon.sources.vlbimon_login import basic_password, forbidden_to_send, why_refused
from tessmon.sources.vlbimon_questions import Question, query

LIMIT_S = 60.0

_OK, _UNAUTHORIZED, _FORBIDDEN = 200, 401, 403
_SHOWN = 5
_ANY = "ALMA", "telescope_onSource"
"""A station and a parameter to ask for where no masterlist names one."""


class _Site(NamedTuple):
    """A server, how its findings are called, and its logins; None: their file can't be read."""

    url: str
    subject: str
    logins: Mapping[str, Login] | None


def look(wishes: Wishes, patience: Patience) -> Iterator[Finding]:
    """All servers, also those that the service asks only when another one fails."""
    settings = wishes.loaded.config.vlbimon
    if settings is None:
        yield not_checked("vlbimon", "the configuration has no table [vlbimon]: no vlbimon server is asked")
        return
    logins: Mapping[str, Login] | None = {}
    try:
        if settings.auth_file is not None:
            logins = read_logins(settings.auth_file)
    except ValueError as error:
        logins = None
        yield unreadable("vlbimon auth_file", str(error))
    else:
        yield _named(settings, logins or {})
    answered = False
    for url in settings.servers:
        site = _Site(url, f"vlbimon {urlsplit(url).netloc}", logins)
        answered = (yield from _server(settings, site, patience)) or answered
    if not answered and len(settings.servers) > 1:
        yield fault("vlbimon", "no server answers", "see above for each of them")


def _named(settings: Vlbimon, logins: Mapping[str, Login]) -> Finding:
    """Whose login the file has; whether a server wants one, its own finding tells."""
    subject = "vlbimon auth_file"
    if settings.auth_file is None:
        return not_checked(subject, "none is set: servers are asked without name and password")
    named = [urlsplit(url).netloc for url in settings.servers if login_for(logins, url)]
    others = [urlsplit(url).netloc for url in settings.servers if not login_for(logins, url)]
    found = f"nobody else may read it; it has a login for {', '.join(named) or 'no server'}"
    if not others:
        return ok(subject, found)
    return warning(
        subject, f"{found}, and none for {', '.join(others)}", "add it, unless that server wants none"
    )


def _server(settings: Vlbimon, site: _Site, patience: Patience) -> Generator[Finding, None, bool]:
    """Whether it answered."""
    try:
        page = ask(settings, site.url, "/static/masterlist.json", {}, patience)
        yield _reached(site, page)
        found, names = _masterlist(settings, site, page)
        yield found
        yield _clock(site, page)
        yield _login(settings, site, names, patience)
    except UnreachableError as error:
        if len(settings.servers) == 1:
            yield fault(site.subject, str(error))
        else:
            advice = "mend it, or take it out of [vlbimon] servers; the others are asked meanwhile"
            yield warning(site.subject, str(error), advice)
        return False
    return True


def _reached(site: _Site, page: Page) -> Finding:
    found = f"{site.url} answers in {milliseconds(page.took_s)}"
    if page.tls_version:
        return ok(site.subject, f"{found} over {page.tls_version}")
    if forbidden_to_send(site.url) is None:
        return ok(site.subject, found)
    return warning(site.subject, f"{found}, unencrypted", "write https:// in [vlbimon] servers")


def _masterlist(settings: Vlbimon, site: _Site, page: Page) -> tuple[Finding, tuple[str, str]]:
    """The finding, and a station and parameter that there are."""
    subject = f"{site.subject} masterlist"
    advice = "look at the URL in [vlbimon] servers; without it, history is asked for what snapshots have"
    if page.status != _OK:
        what = f"the server answers with status {page.status}"
        if 300 <= page.status < 400:
            return fault(subject, f"{what}, a redirection", "correct [vlbimon] servers"), _ANY
        return warning(subject, what, advice), _ANY
    try:
        _, stations, fields = listed(Reply(page.body, None, page.took_s, page.status))
    except Malformed as error:
        return warning(subject, str(error), advice), _ANY
    names = next(iter(stations)), next(iter(fields))
    found = f"{len(stations):,} stations, {len(fields):,} parameters"
    if strange := sorted(set(settings.stations) - set(stations)):
        return warning(subject, f"{found}; not in it: {_some(strange)}", "correct [vlbimon] stations"), names
    return ok(subject, found), names


def _clock(site: _Site, page: Page) -> Finding:
    """By the header ``Date``, which is cut to whole seconds: half a second more is its best guess."""
    subject = f"{site.subject} clock"
    theirs_s = http_date_s(page.headers["date"])
    if theirs_s is None:
        return not_checked(subject, "the server does not tell its time")
    half_s = page.took_s / 2
    return judged_offset(Offset(theirs_s + 0.5 - (page.sent_s + half_s), half_s + 0.5), subject)


def _login(settings: Vlbimon, site: _Site, names: tuple[str, str], patience: Patience) -> Finding:
    """History of a second is asked for, as the service does it."""
    subject = f"{site.subject} login"
    if site.logins is None:
        return not_checked(subject, "the auth_file can't be used")
    login = login_for(site.logins, site.url)
    if login is not None and (why_not := forbidden_to_send(site.url)):
        return fault(subject, why_not)
    page = _history(settings, site, names, login, patience)
    whom = f"as user {login.name} with {login.scheme}" if login else "without name and password"
    if page.status == _OK:
        return ok(subject, f"history is given {whom}")
    if page.status == _FORBIDDEN and login is not None:
        advice = "ask its administrators for the right"
        return fault(subject, f"{site.url} forbids {login.name} to ask for history", advice)
    if page.status in (_UNAUTHORIZED, _FORBIDDEN):
        has_file = settings.auth_file is not None
        challenges = page.all("www-authenticate")
        return fault(subject, why_refused(site.url, login, page.status, challenges, has_file=has_file))
    return not_checked(subject, f"history, asked for {whom}, is answered with status {page.status}")


def _history(
    settings: Vlbimon, site: _Site, names: tuple[str, str], login: Login | None, patience: Patience
) -> Page:
    now_s = int(time.time())
    station, field = names
    target = f"/data/history?{query(Question([station], [field], now_s - 1, now_s))}"
    if login is None or login.scheme == BASIC:
        said = {} if login is None else {"Authorization": basic_password(login)}
        return ask(settings, site.url, target, said, patience)
    digest = Digest(login.name, login.password)
    page = ask(settings, site.url, target, {}, patience)
    if page.status == _UNAUTHORIZED and digest.take(page.all("www-authenticate")):
        answer = digest.answer("GET", urlsplit(site.url).path + target)
        return ask(settings, site.url, target, {"Authorization": answer}, patience)
    return page


def _some(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown

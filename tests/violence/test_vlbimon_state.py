# SPDX-License-Identifier: MIT
"""Cursors and stored state that are not what they should be: it starts, says so once, and asks history for the rest."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests import scale
from tests.observatory import Service, wait_for
from tests.postgres import Database
from tests.vlbimon_server import VlbimonServer, vlbimon_server
from tests.vlbimon_service import expected, rows, source, swept, wait_settled, wait_stored, watching

__all__ = ["vlbimon_server"]

PARAMETERS = ("telescope_onSource", "telescope_sourceName", "weather_tau225")
FORMS = ("none", "garbage", "opaque") if scale.FULL else ("garbage",)
EARLY_S = 3600
"""Each sweep begins so far before what is whole [s]."""


@pytest.fixture
def service(tmp_path: Path, vlbimon_server: VlbimonServer, database: Database) -> Iterator[Service]:
    made = watching(tmp_path / "service", vlbimon_server, database)
    yield made
    made.end()


def send(server: VlbimonServer, ago_s: float) -> None:
    """A minute's worth of points in half a second, each minute once."""
    server.run(60, 120, parameters=PARAMETERS, ago_s=ago_s)
    wait_for(lambda: not server.running(), "the end of the run")


@pytest.mark.parametrize("form", FORMS)
def test_any_cursor_will_do(
    form: str, service: Service, vlbimon_server: VlbimonServer, database: Database
) -> None:
    """None, one that the server does not know again itself, and one that is no number."""
    vlbimon_server.set(cursor_form=form)
    service.start()
    send(vlbimon_server, 300)
    polls = source(service)["polls"]
    wait_for(lambda: source(service)["polls"] > polls + 3, "what came last")
    service.stop()
    last = len(vlbimon_server.asked("snapshot"))  # its answer may have come too late for who was stopping
    send(vlbimon_server, 0)
    swept(service)
    wait_stored(expected(vlbimon_server.received()), database, service)
    asked = vlbimon_server.asked("snapshot")
    for number, (one, after) in enumerate(pairwise(asked), 1):
        brought = None if one.status == 400 else one.told
        assert after.cursor in ({brought, one.cursor} if number == last else {brought}), (one, after)
    answered = {each.status for number, each in enumerate(asked, 1) if number != last}
    assert answered == ({200, 400} if form == "garbage" else {200})
    assert service.log.read_text().count("sends no cursor") == (2 if form == "none" else 0)  # once a start
    service.assert_quick()


def no_journal(service: Service) -> None:
    shutil.rmtree(service.journal)


def damaged_journal(service: Service) -> None:
    for path in service.journal.glob("*.journal*"):
        path.write_bytes(b"\xff damaged \x00" * 500)


def damaged_sessions(service: Service) -> None:
    (service.journal / "sessions").write_text('{"http')


def test_state_that_is_lost_is_made_good_from_what_is_stored(
    service: Service, vlbimon_server: VlbimonServer, database: Database
) -> None:
    """What comes while it is stopped is replaced before it starts again, so that only history has it."""
    harms = (
        (no_journal, ""),
        (damaged_journal, "of the journal was damaged"),
        (damaged_sessions, "can't be read, a new session is made"),
    )
    swept(service)
    for number, (harm, said) in enumerate(harms):
        wait_settled(service)
        swept_s, before = source(service)["swept_s"], service.log.read_text()
        service.stop()
        segments = len(list(service.journal.glob("*.journal")))
        harm(service)
        send(vlbimon_server, 300 - 100 * number)
        asked, stored = len(vlbimon_server.asked("history")), len(rows(database))
        swept(service)
        wait_stored(expected(vlbimon_server.received()), database, service)
        assert len(rows(database)) > stored + 50
        told = service.log.read_text().removeprefix(before)
        if said:
            assert told.count(said) == (segments if harm is damaged_journal else 1)
        first = vlbimon_server.asked("history")[asked]
        assert int(first.query["startTime"][0]) == swept_s - EARLY_S, harm
    service.assert_quick()

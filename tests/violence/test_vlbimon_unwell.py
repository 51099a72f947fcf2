# SPDX-License-Identifier: MIT
"""A vlbimon server that is unwell in every way it knows: given up in time, asked again, and nothing is missing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests import scale
from tests.observatory import Service, wait_for
from tests.postgres import Database
from tests.vlbimon_faults import KINDS
from tests.vlbimon_server import PLAIN, VlbimonServer, vlbimon_server
from tests.vlbimon_service import expected, source, swept, wait_stored, watching

__all__ = ["vlbimon_server"]

TIMEOUT_S = 0.5
PATIENCE_S = 5.0
"""A failed call is over after `TIMEOUT_S`; this much is a noisy machine's."""
HISTORY_KINDS = KINDS if scale.FULL else ("status", "not_whole", "cut_chunked", "silence")
STATUSES = (400, 404, 429, 500, 502, 503)
PARAMETERS = ("telescope_onSource", "telescope_sourceName", "weather_tau225", "telescope_azimuthElevation")


@pytest.fixture
def service(tmp_path: Path, vlbimon_server: VlbimonServer, database: Database) -> Iterator[Service]:
    limits = {"timeout_s": TIMEOUT_S, "connect_timeout_s": TIMEOUT_S, "max_reply_bytes": 1 << 20}
    made = watching(tmp_path / "service", vlbimon_server, database, vlbimon=limits)
    yield made
    made.end()


def test_a_poll_that_fails_in_any_way_moves_nothing_and_nothing_is_missing(
    service: Service, vlbimon_server: VlbimonServer, database: Database
) -> None:
    service.start()
    wait_for(lambda: source(service)["state"] == "connected", "the first snapshot")
    faults: list[dict[str, Any]] = [{"kind": kind} for kind in KINDS if kind != "status"]
    faults += [{"kind": "status", "status": status} for status in STATUSES]
    vlbimon_server.run(240, 30, parameters=PARAMETERS)
    for fault in faults:
        failed, good = source(service)["failed"], source(service)["polls"]
        # a kept connection that is found closed is replaced once without a word
        count = 2 if fault["kind"] in ("reset", "closed") else 1
        vlbimon_server.fail(**fault, calls=("snapshot",), count=count, pace_s=0.1)
        wait_for(lambda failed=failed: source(service)["failed"] > failed, f"{fault} to be noticed")
        wait_for(lambda good=good: source(service)["polls"] > good, f"a snapshot after {fault}")
    vlbimon_server.shut(PLAIN)
    wait_for(lambda: source(service)["failures"] > 2, "connections to be refused")
    vlbimon_server.reopen(PLAIN)
    vlbimon_server.drop_connections()
    vlbimon_server.freeze()
    failed = source(service)["failed"]
    wait_for(lambda: source(service)["failed"] > failed, "a server that takes connections and says nothing")
    vlbimon_server.thaw()
    vlbimon_server.expire_sessions()
    wait_for(lambda: not vlbimon_server.running(), "the end of the run")
    wait_for(lambda: source(service)["failures"] == 0, "the last snapshot")
    swept(service)
    wait_stored(expected(vlbimon_server.received()), database, service)

    asked = vlbimon_server.asked("snapshot")
    followed = [(one, after) for one, after in pairwise(asked) if one.fault]
    assert {one.fault for one, _ in followed} == set(KINDS)
    for one, after in followed:
        assert after.at_s - one.at_s < TIMEOUT_S + PATIENCE_S, one
        assert after.cursor == (None if one.status == 400 else one.cursor), one
    service.assert_quick()


def test_what_fails_while_history_is_asked_for_is_asked_for_again(
    service: Service, vlbimon_server: VlbimonServer, database: Database
) -> None:
    """Sweeps without end, of which each meets some of the trouble; what only history has is all there afterwards."""
    vlbimon_server.run(60, 60)
    wait_for(lambda: not vlbimon_server.running(), "the end of the run")
    service.tables["vlbimon"]["sweep_s"] = 0.1
    service.write_config()
    service.start()
    for kind in HISTORY_KINDS:
        questions = source(service)["questions"]
        vlbimon_server.fail(kind, calls=("history",), count=1)
        wait_for(
            lambda questions=questions: source(service)["questions"] > questions, f"an answer after {kind}"
        )
    wait_for(lambda: source(service)["swept_s"], "the end of a sweep")
    wait_stored(expected(vlbimon_server.received()), database, service)
    asked = vlbimon_server.asked("history")
    assert {each.fault for each in asked} == {*HISTORY_KINDS, ""}
    for one, after in pairwise(asked):
        failed = one.fault and not (
            one.fault == "drip" and one.whole
        )  # nothing to tell is told in time, drop by drop
        assert not failed or after.uri == one.uri, "a question that failed was not the next one"
    service.assert_quick()

# SPDX-License-Identifier: MIT
"""What a vlbimon server served is stored once, and all it received as soon as history is whole, whatever is killed."""

from __future__ import annotations

import random
import time

import pytest

from tests import scale
from tests.observatory import Service, wait_for
from tests.postgres import Database
from tests.vlbimon_server import VlbimonServer, vlbimon_server
from tests.vlbimon_service import (
    accounted,
    expected,
    rows,
    sent,
    service,
    source,
    swept,
    wait_stored,
)

__all__ = ["service", "vlbimon_server"]

FORMS = ("float", "whole", "opaque") if scale.FULL else ("whole",)
KILL_POINTS = (
    ("vlbimon.reply", 4),
    ("vlbimon.appended", 4),
    ("vlbimon.settled", 4),
    ("vlbimon.swept", 1),
    ("writer.before_commit", 2),
    ("writer.commit_sent", 2),
    ("writer.after_commit", 2),
)


@pytest.mark.parametrize("form", FORMS)
def test_every_point_that_was_served_is_stored_once(
    form: str, service: Service, vlbimon_server: VlbimonServer, database: Database
) -> None:
    """A cursor of whole seconds brings some points again and again."""
    vlbimon_server.set(cursor_form=form)
    service.start()
    vlbimon_server.run(scale.VLBIMON_RUN_S, scale.VLBIMON_SPEED)
    wait_for(lambda: not vlbimon_server.running(), "the end of the run", 60 + scale.VLBIMON_RUN_S)
    polls = source(service)["polls"]
    wait_for(lambda: source(service)["polls"] > polls + 1, "what came last")
    wait_for(lambda: not source(service)["sweeping"], "the end of the first sweep")
    wait_stored(expected(vlbimon_server.served()), database, service)
    wait_for(lambda: accounted(database) == sent(vlbimon_server), "the same count on both sides")
    print(f"{polls} polls, {len(rows(database))} rows of {sum(sent(vlbimon_server).values())} points")
    service.assert_quick()


def test_kills_at_random_moments_lose_and_double_nothing(
    service: Service, vlbimon_server: VlbimonServer, database: Database
) -> None:
    chance = random.Random(20_261_123)
    service.start()
    vlbimon_server.run(scale.VLBIMON_RUN_S, scale.VLBIMON_SPEED)
    span_s = scale.VLBIMON_RUN_S / scale.VLBIMON_SPEED / scale.KILLS
    for _ in range(scale.KILLS):
        time.sleep(chance.uniform(0.3, 1.7) * span_s)  # the random moment
        service.kill()
        service.start(wait=False)
    wait_for(lambda: not vlbimon_server.running(), "the end of the run", 60 + scale.VLBIMON_RUN_S)
    _assert_whole(service, vlbimon_server, database)


def test_kills_at_named_points_lose_and_double_nothing(
    service: Service, vlbimon_server: VlbimonServer, database: Database
) -> None:
    count = len(KILL_POINTS)
    vlbimon_server.run(20.0 * count, 20)
    for point, nth in KILL_POINTS:
        service.start(f"{point}:{nth}", wait=False)
        wait_for(lambda: not service.alive, f"the kill at {point}")
    wait_for(lambda: not vlbimon_server.running(), "the end of the run")
    _assert_whole(service, vlbimon_server, database)


def _assert_whole(service: Service, server: VlbimonServer, database: Database) -> None:
    """All that the server ever received is stored once, and the snapshots alone would not have brought it."""
    swept(service)
    received = server.received()
    wait_stored(expected(received), database, service)
    snapshots = {number for asked in server.asked("snapshot") for number in asked.numbers}
    assert len(snapshots) < len(received), "the run has no gap that history had to fill"
    print(f"{len(received)} points, {len(snapshots)} of them in snapshots")
    service.assert_quick()

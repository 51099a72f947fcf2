# SPDX-License-Identifier: MIT
"""What frames of the array's monitor go through when the configuration changes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest_twisted
from twisted.internet import reactor

from tessmon.breath import Breath
from tessmon.config.model import Config, Vlbimon, Writer
from tessmon.feed import Feed
from tessmon.records.batch import Standing
from tessmon.records.outcome import Filtered
from tessmon.records.vlbimon import Point
from tessmon.told import Told
from tessmon.vlbimon import lay, settings_of
from tests.memory_journal import MemoryJournal
from tests.vlbimon_frames import (
    RECEIVED_NS,
    frame_of,
    masterlist_frame,
    placed,
    poll_frames,
    snapshot_text,
    swept_frame,
)

SKY = snapshot_text(
    {
        ("KP", "telescope_azimuthElevation"): [1712345600, "123.4+45.6"],
        ("ALMA", "weather_tau225"): [1712345600, 0.05],
    }
)


def _settings(*stations: str) -> str:
    return settings_of(Config(vlbimon=Vlbimon(stations=stations)))


async def _answer(standing: Standing, questions: Sequence[Any]) -> list[Standing]:
    return [standing]


@pytest_twisted.ensureDeferred
async def test_other_stations_do_not_make_it_forget_what_it_knows() -> None:
    journal = MemoryJournal()
    feed = Feed(journal, partial(lay, Told()), _settings(), Writer(), Breath(reactor))
    await feed.begin(partial(_answer, Standing()))
    journal.take(placed([masterlist_frame(), *poll_frames(SKY), swept_frame(1712345678)]))
    before = await feed.next()
    halves = {"telescope_azimuthElevation_az", "telescope_azimuthElevation_el"}
    assert halves <= {item.record.parameter for item in before.items if isinstance(item.record, Point)}
    known = before.moves[0].new.notes
    feed.take_up(_settings("KP"))
    change = await feed.next()
    assert change.moves[0].new.notes == known
    assert known["swept"] == {"until": 1712345678}
    journal.take(list(placed(poll_frames(SKY, RECEIVED_NS + 10**10)))[-2:])
    after = await feed.next()
    points = [
        item.record for item in after.items if isinstance(item.record, Point) and not item.record.derived
    ]
    assert [point.station for point in points] == ["KP"]
    assert halves <= {item.record.parameter for item in after.items if isinstance(item.record, Point)}
    assert [item.record.subject for item in after.items if isinstance(item.record, Filtered)] == ["ALMA"]


@pytest_twisted.ensureDeferred
async def test_after_a_restart_with_other_stations_it_knows_the_same() -> None:
    journal = MemoryJournal()
    first = Feed(journal, partial(lay, Told()), _settings("KP"), Writer(), Breath(reactor))
    await first.begin(partial(_answer, Standing()))
    journal.take(placed([masterlist_frame(), *poll_frames(SKY)]))
    [move] = (await first.next()).moves or (await first.next()).moves
    again = Feed(journal, partial(lay, Told()), _settings(), Writer(), Breath(reactor))
    await again.begin(partial(_answer, move.new))
    [change] = (await again.next()).moves
    assert change.old.settings != change.new.settings
    assert change.new.notes == move.new.notes
    assert set(move.new.notes) == {"coordinates", "bridge"}


@pytest_twisted.ensureDeferred
async def test_a_reject_that_is_tried_again_is_split_by_what_is_known_whatever_is_wanted() -> None:
    journal = MemoryJournal()
    journal.take(placed([masterlist_frame()]))
    first = Feed(journal, partial(lay, Told()), _settings(), Writer(), Breath(reactor))
    await first.begin(partial(_answer, Standing()))
    known = (await first.next()).moves[0].new
    feed = Feed(journal, partial(lay, Told()), _settings(), Writer(), Breath(reactor))
    await feed.begin(partial(_answer, known))
    reject = frame_of(
        "snapshot", SKY, position=(1, 1, 0)
    )  # whole, as one that an earlier version did not understand
    for wanted in ((), ("KP",)):
        feed.take_up(_settings(*wanted))
        *halves, raw, other = feed.again(reject)
        assert [(half.parameter[-3:], half.value, half.subject) for half in halves] == [
            ("_az", 123.4, "bridge"),
            ("_el", 45.6, "bridge"),
        ]
        assert raw.value == "123.4+45.6"
        assert isinstance(other, Filtered if wanted else Point)
    journal.take(placed([masterlist_frame(), swept_frame(1712345678)]))
    batch = await feed.next()
    assert batch.moves[0].new.notes == known.notes

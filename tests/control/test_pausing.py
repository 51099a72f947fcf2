# SPDX-License-Identifier: MIT
"""Who asked for a pause is answered when it is there, or when it is not going to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tessmon.cli.arguments import LONGEST_SPAN_S
from tessmon.control.door import Door, Uptime
from tessmon.control.pausing import MAX_PAUSE_S, TIME_IS_UP, Pausing, ResumedError


class House:
    """A door, the connections behind it, and what was announced."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.path = directory / "paused"
        self.shut: list[Deferred[None]] = []
        self.announced: list[tuple[str, dict[str, Any]]] = []
        self.move_in()

    def move_in(self) -> None:
        self.door = Door(self.path, self._now_ns, lambda: Uptime("boot", int(self.clock.seconds() * 1e9)))
        self.pausing = Pausing(self.door, self._shut, self._announce, self.clock)
        self.pausing.startService()

    def _now_ns(self) -> int:
        return 10**18 + int(self.clock.seconds() * 1e9)

    def _shut(self) -> Deferred[None]:
        self.shut.append(Deferred())
        return self.shut[-1]

    def _announce(self, what: str, **detail: object) -> None:
        self.announced.append((what, detail))


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def answers(asked: Deferred[list[str]]) -> list[Any]:
    """What it fired with, if it did."""
    fired: list[Any] = []
    asked.addCallbacks(fired.append, lambda failure: fired.append(failure.value))
    return fired


def test_a_pause_is_answered_when_the_last_connection_is_closed(house: House) -> None:
    fired = answers(house.pausing.pause("ana"))
    assert house.door.locked
    assert fired == []
    house.shut[0].callback(None)
    assert fired == [[]]
    assert house.announced == [("paused", {"by": "ana"})]


def test_who_pauses_what_is_paused_is_told_so(house: House) -> None:
    first = answers(house.pausing.pause("ana"))
    second = answers(house.pausing.pause("bob"))
    for shut in house.shut:
        shut.callback(None)
    assert first == [[]]
    assert second[0][0].startswith("it was paused before, by ana since ")
    assert len(house.announced) == 1


def test_a_resume_before_the_last_connection_is_closed_answers_who_waits(house: House) -> None:
    fired = answers(house.pausing.pause("ana"))
    assert house.pausing.resume("bob") == []
    assert isinstance(fired[0], ResumedError)
    assert "resumed by bob" in str(fired[0])
    house.shut[0].callback(None)
    assert len(fired) == 1


def test_a_pause_with_a_time_ends_by_itself(house: House) -> None:
    house.pausing.pause("ana", 60)
    house.shut[0].callback(None)
    house.clock.pump([1.0] * 59)
    assert house.door.locked
    house.clock.pump([1.0] * 2)
    assert not house.door.locked
    assert house.announced[-1] == ("resumed", {"by": TIME_IS_UP})


def test_a_pause_that_ended_during_an_absence_is_told_as_its_end(house: House) -> None:
    house.pausing.pause("ana", 60)
    house.pausing.stopService()
    house.clock.advance(3600)
    house.move_in()
    assert not house.door.locked
    assert house.announced[-1] == ("resumed", {"by": TIME_IS_UP})


def test_only_its_own_pause_is_ended_by_who_says_so(house: House) -> None:
    fired = answers(house.pausing.pause("ana"))
    (said,) = house.pausing.resume("bob", only_by="bob")
    assert said.startswith("it stays paused, by ana since ")
    assert house.door.locked
    assert house.pausing.resume("ana", only_by="ana") == []
    assert not house.door.locked
    assert isinstance(fired[0], ResumedError)
    assert house.pausing.resume("ana") == ["it was not paused"]


def test_the_command_takes_what_the_service_takes() -> None:
    assert LONGEST_SPAN_S == MAX_PAUSE_S

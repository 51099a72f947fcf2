# SPDX-License-Identifier: MIT
"""Fetches a part of the past, window by window, and gives it to a place that keeps it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from tessmon.decode.refusal import Refusal
from tessmon.decode.vlbimon_masterlist import masterlist_of
from tessmon.past.asking import Asking
from tessmon.past.windows import Wanted, fields_of, stations_of
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import Reject
from tessmon.records.vlbimon import HISTORY, MASTERLIST, Exchange, Masterlist
from tessmon.records.vlbimon_walk import payload_of, pieces, text_of
from tessmon.sources.vlbimon_client import Reply, questions


class Place(Protocol):
    """Where points are kept, with how far it is.

    Attributes:
        outcomes: points by what became of them: stored, replaced, duplicate, filtered, rejected.
        refused: what was rejected, the first of them.
    """

    outcomes: Counter[str]
    refused: list[Reject]

    def done_s(self) -> int:
        """Up to where all is kept [s since 1970 UTC]; 0 when nothing is."""

    def know(self, frame: Frame) -> None:
        """The masterlist."""

    def take(self, frame: Frame) -> None:
        """A piece of an answer."""

    def settle(self, done_s: int) -> None:
        """All that was taken is kept from now on, and with it, all is up to here."""


class Progress(NamedTuple):
    """How far it is [s since 1970 UTC]: from, to, and up to where all is kept; and how many calls it took."""

    start_s: int
    end_s: int
    done_s: int
    calls: int


class Fetching:
    """A part of the past, on its way.

    Args:
        wanted: what.
        configured: stations that are asked for when none is named; empty for all.
        asking: the servers.
        place: where to.
        now_ns: wall clock.
        told: called when something has come.
        check: called between; what it raises ends the work.
    """

    def __init__(
        self,
        wanted: Wanted,
        configured: Sequence[str],
        asking: Asking,
        place: Place,
        now_ns: Callable[[], int],
        told: Callable[[Progress], None],
        check: Callable[[], None],
    ) -> None:
        self.series = 0
        self.progress = Progress(0, 0, 0, 0)
        self._wanted = wanted
        self._configured = configured
        self._asking = asking
        self._place = place
        self._now_ns = now_ns
        self._told = told
        self._check = check

    async def run(self) -> None:
        """Go on where it ended the last time, or begin anew when all was kept then: late points may have come.

        Raises:
            GivenUpError: no server answers.
            VlbimonError: they want another name and password.
        """
        frame, masterlist = await masterlist_frame(self._asking, self._now_ns)
        stations = stations_of(self._wanted, self._configured, masterlist)
        fields = fields_of(self._wanted, masterlist)
        self.series = len(stations) * len(fields)
        end_s = min(self._wanted.end_s, self._now_ns() // 10**9 + 1)
        done_s = self._place.done_s()
        if done_s >= end_s:
            done_s = 0
        self._place.know(frame)
        self._tell(max(done_s, self._wanted.start_s), end_s)
        for window in self._wanted.windows(done_s, end_s):
            for question in questions(stations, fields):
                for piece in await self._answer(*question, *window):
                    self._place.take(piece)
                self._tell(self.progress.done_s, end_s)
                self._check()
            self._place.settle(window[1])
            self._tell(window[1], end_s)

    async def _answer(
        self, stations: Sequence[str], fields: Sequence[str], start_s: int, end_s: int
    ) -> list[Frame]:
        return await self._asking.ask(
            lambda client: client.history(stations, fields, start_s, end_s),
            partial(self._frames, start_s, end_s),
        )

    def _frames(self, start_s: int, end_s: int, reply: Reply) -> list[Frame]:
        """Raises:
        ValueError: it is no answer.
        """
        # What differs from one try to the next does not stand in it: a reject is known again by topic and payload.
        topic = Exchange(HISTORY, start_s=start_s, end_s=end_s).topic()
        received_ns = self._now_ns()
        texts = [text for text in pieces(HISTORY, text_of(reply.body)) if text]
        return [
            _frame(topic, payload_of(text), received_ns + number, (start_s, number, 0), self._wanted.origin)
            for number, text in enumerate(texts)
        ]

    def _tell(self, done_s: int, end_s: int) -> None:
        self.progress = Progress(self._wanted.start_s, end_s, done_s, self._asking.calls)
        self._told(self.progress)


async def masterlist_frame(asking: Asking, now_ns: Callable[[], int]) -> tuple[Frame, Masterlist]:
    """The servers' masterlist, as a frame and as what it says.

    Raises:
        GivenUpError: no server answers.
    """

    def read(reply: Reply) -> tuple[Frame, Masterlist]:
        topic = Exchange(MASTERLIST, asking.server).topic()
        return read_masterlist(_frame(topic, reply.body, now_ns(), (0, 0, 0), ""))

    return await asking.ask(lambda client: client.masterlist(), read)


def masterlist_of_file(payload: bytes, now_ns: int) -> tuple[Frame, Masterlist]:
    """The same of the bytes of a file.

    Raises:
        ValueError: it holds none.
    """
    return read_masterlist(_frame(Exchange(MASTERLIST).topic(), payload, now_ns, (0, 0, 0), ""))


def read_masterlist(frame: Frame) -> tuple[Frame, Masterlist]:
    """Raises:
    ValueError: it holds none.
    """
    try:
        masterlist, _ = masterlist_of(frame)
    except Refusal as refusal:
        raise ValueError(refusal.detail) from None
    if not masterlist.parameters:
        raise ValueError("a masterlist without parameters")
    return frame, masterlist


def _frame(
    topic: str, payload: bytes, received_ns: int, position: tuple[int, int, int], origin: str
) -> Frame:
    return Frame(
        FrameKind.MESSAGE, received_ns, topic, payload, len(payload), position=position, origin=origin
    )

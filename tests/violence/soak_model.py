# SPDX-License-Identifier: MIT
"""What the tables must hold, told from the order in which messages were journalled: the rules of the service once more,
in plain Python, undisturbed.

Source: what tessdb-server does and the README promises; the daylight window as 4.0.9 decides when it is full, as 5.1.0
before.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

from tessmon.records.frame import Frame, FrameKind
from tests.violence.soak_traffic import DENIED, EVERY, KEPT_BYTES, LEFT_ALONE, Message, mac_of

NS_PER_S = 1_000_000_000


class Row(NamedTuple):
    """A row of a reading's table, as far as it is compared."""

    mac: str
    zero_point_mag: float
    at_s: int
    sequence_number: int
    magnitude: float
    received_us: int


class Taken(NamedTuple):
    """A message as it was journalled."""

    message: Message
    received_ns: int
    place: int


class Version(NamedTuple):
    """A zero point and since when it holds [s since 1970 UTC]."""

    since_s: int
    zero_point_mag: float


class Model:
    """Takes frames in the order of the journal.

    Args:
        sent: by the beginning of their payloads, all messages that were sent.
        depth, max_age_s: of the daylight filter.

    Attributes:
        rows: what was stored.
        outcomes: (outcome, cause) → messages; as the tallies.
        rejects: (reason, what is kept of the payload) → messages; as the table.
    """

    def __init__(self, sent: Mapping[bytes, Message], depth: int, max_age_s: int) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.rejects: Counter[tuple[str, bytes]] = Counter()
        self._sent = sent
        self._depth, self._half = depth, depth // 2
        self._max_age_ns = max_age_s * NS_PER_S
        self._rows: dict[tuple[str, int, int], Row] = {}
        self._versions: dict[str, list[Version]] = {}
        self._strangers: defaultdict[str, list[Taken]] = defaultdict(list)
        self._windows: OrderedDict[str, list[Taken]] = OrderedDict()
        self._undecided: defaultdict[str, list[Taken]] = defaultdict(list)
        self._left_out: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._place = 0

    @property
    def rows(self) -> set[Row]:
        return set(self._rows.values())

    @property
    def held(self) -> int:
        """Readings that the filter has not decided about."""
        return sum(map(len, self._undecided.values()))

    def take(self, frame: Frame) -> None:
        """The next frame of the journal."""
        self._place += 1
        self._forget_silent(frame.received_ns)
        if frame.kind == FrameKind.EVENT and frame.topic in ("flush", "journal_full"):
            self._flush()
        if frame.kind == FrameKind.EVENT and frame.topic == "journal_full":
            self._left_out.clear()
        if frame.kind != FrameKind.MESSAGE:
            return
        message = self._sent[frame.payload[:KEPT_BYTES]]
        if frame.retain:
            self.outcomes["filtered", "retained"] += 1
        elif message.kind == "reject":
            self._reject(message.reason, message)
        elif message.name == DENIED:
            self.outcomes["filtered", "denied"] += 1
        elif message.kind == "registration":
            self._register(message)
        else:
            self._decimate(Taken(message, frame.received_ns, self._place))

    # the stages

    def _decimate(self, taken: Taken) -> None:
        name = taken.message.name
        if name in EVERY:
            left_out, _ = self._left_out.pop(name, (EVERY[name] - 1, 0))
            keep = left_out + 1 >= EVERY[name]
            self._left_out[name] = (0 if keep else left_out + 1, taken.received_ns)
            if not keep:
                self.outcomes["filtered", "decimated"] += 1
                return
        if name in LEFT_ALONE:
            self._store(taken)
        else:
            self._look_ahead(taken)

    def _look_ahead(self, taken: Taken) -> None:
        name = taken.message.name
        window = self._windows[name] = [*self._windows.pop(name, []), taken][-self._depth :]
        undecided = self._undecided[name]
        undecided.append(taken)
        if len(undecided) <= self._half:
            return
        decided = undecided.pop(0)
        numbers = [each.message.sequence_number for each in window]
        steady = len({after - before for before, after in pairwise(numbers)}) <= 1
        saturated = all(each.message.magnitude == 0 for each in window)
        if saturated and (steady or len(window) < self._depth):
            self.outcomes["filtered", "daylight"] += 1
        else:
            self._store(decided)

    def _forget_silent(self, now_ns: int) -> None:
        for name, (_, last_ns) in list(self._left_out.items()):
            if now_ns - last_ns > self._max_age_ns:
                del self._left_out[name]
        for name, window in list(self._windows.items()):
            if now_ns - window[-1].received_ns > self._max_age_ns:
                del self._windows[name]
                self._store_all(self._undecided.pop(name))

    def _flush(self) -> None:
        self._windows.clear()
        waiting = [taken for each in self._undecided.values() for taken in each]
        self._undecided.clear()
        self._store_all(sorted(waiting, key=lambda taken: taken.place))

    # the tables

    def _register(self, message: Message) -> None:
        versions = self._versions.setdefault(message.name, [])
        at_s, mag = message.at_s or 0, message.zero_point_mag
        if not versions:
            outcome = "new"
        elif versions[-1].zero_point_mag == mag:
            self.outcomes["stored", "rebooted"] += 1
            return
        elif at_s < versions[-1].since_s:
            self.outcomes["filtered", "stale"] += 1
            return
        else:
            outcome = "changed"
        versions.append(Version(at_s, mag))
        self.outcomes["stored", outcome] += 1
        for taken in self._strangers.pop(message.name, []):
            self._reject("unregistered", taken.message, -1)
            self._store(taken)

    def _store_all(self, waiting: Iterable[Taken]) -> None:
        for taken in waiting:
            self._store(taken)

    def _store(self, taken: Taken) -> None:
        message = taken.message
        versions = self._versions.get(message.name)
        if versions is None:
            self._strangers[message.name].append(taken)
            self._reject("unregistered", message)
        elif message.reason:
            self._reject(message.reason, message)
        else:
            at_s = taken.received_ns // NS_PER_S if message.at_s is None else message.at_s
            version = max(n for n, each in enumerate(versions) if each.since_s <= at_s)
            row = Row(
                mac_of(message.name),
                versions[version].zero_point_mag,
                at_s,
                message.sequence_number,
                message.magnitude,
                taken.received_ns // 1000,
            )
            there = self._rows.setdefault((message.name, version, at_s), row)
            if there is row:
                self.outcomes["stored", ""] += 1
            elif there[:5] == row[:5]:
                self.outcomes["duplicate", ""] += 1
            else:
                self._reject("conflict", message)

    def _reject(self, reason: str, message: Message, count: int = 1) -> None:
        self.outcomes["rejected", reason] += count
        self.rejects[reason, message.payload[:KEPT_BYTES]] += count


def modelled(frames: Iterator[Frame], sent: Mapping[bytes, Message], depth: int, max_age_s: int) -> Model:
    """The model of a whole journal."""
    model = Model(sent, depth, max_age_s)
    for frame in frames:
        model.take(frame)
    return model

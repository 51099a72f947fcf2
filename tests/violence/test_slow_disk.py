# SPDX-License-Identifier: MIT
"""A disk that takes its time, stands still, or refuses to sync: the reactor does not notice, nobody is acknowledged
before a sync that succeeded, and every row is there once."""

from __future__ import annotations

import subprocess
import urllib.request
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tessmon.demo.guarded import free_port
from tessmon.demo.servers import Broker
from tests import scale
from tests.observatory import (
    Publisher,
    Service,
    fetch,
    in_background,
    reading,
    stamp,
    wait_accounted,
    wait_for,
)
from tests.violence.wiretap import Wiretap

RATE_HZ = 500
SEED = 20_261_123


class Sync(NamedTuple):
    """One fsync or fdatasync: begin and end [ns, monotonic], errno, of which file."""

    began_ns: int
    ended_ns: int
    error: int
    path: str


class Disk:
    """Below a directory, a disk that obeys."""

    def __init__(self, shim: Path, directory: Path, below: Path) -> None:
        """``directory`` is for its own files."""
        self._plan = directory / "plan"
        self._log = directory / "syncs"
        self.environment = {
            "LD_PRELOAD": str(shim),
            "SLOW_DISK_BELOW": str(below),
            "SLOW_DISK_PLAN": str(self._plan),
            "SLOW_DISK_LOG": str(self._log),
            "SLOW_DISK_SEED": str(SEED),
        }
        self.is_to("")

    def is_to(self, plan: str) -> None:
        """From now on; see slow_disk.c."""
        new = self._plan.with_suffix(".new")
        new.write_text(plan)
        new.rename(self._plan)

    def syncs(self) -> list[Sync]:
        """All that have ended, in order of their end."""
        fields = [line.split(" ", 3) for line in self._log.read_text().splitlines()]
        return sorted(
            (Sync(int(began), int(ended), int(error), path) for began, ended, error, path in fields),
            key=lambda sync: sync.ended_ns,
        )

    def failed(self) -> int:
        """How many syncs have failed."""
        return sum(sync.error != 0 for sync in self.syncs())


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """slow_disk.c, compiled."""
    made = tmp_path_factory.mktemp("shim") / "slow_disk.so"
    source = Path(__file__).with_name("slow_disk.c")
    subprocess.run(
        ["gcc", "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", "-o", made, source, "-ldl"],
        check=True,
    )
    return made


class Scene(NamedTuple):
    """A service on a disk that obeys, with a photometer; what is said between it and its broker is overheard."""

    disk: Disk
    service: Service
    wiretap: Wiretap
    publisher: Publisher
    dsn: str

    def publish(self, first: int, count: int, qos: Sequence[int] = (1,)) -> None:
        """Readings at a steady rate, with these qualities of service in turns."""
        messages = [reading("stars1", n, tstamp=stamp(n)) for n in range(first, first + count)]
        self.publisher.at_rate(messages, RATE_HZ, qos)
        self.publisher.flush()

    def assert_stored(self, count: int, acknowledged: int) -> None:
        """Each once, and so many acknowledged, none without a sync of its own."""
        counted = wait_accounted(self.dsn, 1 + count, self.service)
        rows = fetch(self.dsn, "SELECT sequence_number FROM tess_readings_t ORDER BY 1")
        assert rows == [(n,) for n in range(count)]
        assert counted["stored"] == count, counted
        self.assert_acknowledgements_follow_syncs(1 + acknowledged)
        self.service.assert_quick()

    def assert_acknowledgements_follow_syncs(self, count: int) -> None:
        """Between delivery and acknowledgement lies, from begin to end, a sync of the journal that succeeded."""
        wait_for(lambda: len(self.wiretap.acknowledged) >= count, f"{count} acknowledgements")
        good = [sync for sync in self.disk.syncs() if not sync.error and sync.path.endswith("-wal")]
        ends = [sync.ended_ns for sync in good]
        latest_begin, begins = 0, []
        for sync in good:
            latest_begin = max(latest_begin, sync.began_ns)
            begins.append(latest_begin)
        early = []
        for one in self.wiretap.acknowledged:
            ended_before = bisect_left(ends, one.acknowledged_ns)
            if not ended_before or begins[ended_before - 1] < one.delivered_ns:
                early.append(one)
        print(f"{len(self.wiretap.acknowledged)} acknowledgements, {len(good)} syncs")
        assert not early, f"{len(early)} acknowledged before they were on disk"


@pytest.fixture
def scene(
    shim: Path,
    tmp_path: Path,
    broker: Broker,
    publisher: Publisher,
    database: Any,
    make_service: Callable[..., Service],
) -> Iterator[Scene]:
    with Wiretap(broker.port) as wiretap:
        service = make_service(wiretap, database, web={"listen": f"127.0.0.1:{free_port()}"})
        disk = Disk(shim, tmp_path, service.journal)
        service.environment = disk.environment
        service.start()
        wait_for(lambda: service.source_state() == "connected", "the broker's session")
        publisher.register("stars1", "AA:BB:CC:00:00:01", tstamp="2026-01-01T00:00:00")
        publisher.flush()
        wait_accounted(database.dsn, 1, service)
        yield Scene(disk, service, wiretap, publisher, database.dsn)


def test_a_disk_that_is_slow_or_stands_still_holds_up_nothing_but_acknowledgements(scene: Scene) -> None:
    scene.disk.is_to("slow 50 500")
    slow = RATE_HZ * scale.SLOW_DISK_S
    scene.publish(0, slow, (0, 1))
    scene.assert_stored(slow, slow // 2)
    took_ms = [(sync.ended_ns - sync.began_ns) / 1e6 for sync in scene.disk.syncs()]
    assert max(took_ms) > 300, "the disk was not slow at all"
    scene.disk.is_to("hold")
    with in_background(scene.publish, slow, RATE_HZ):
        wait_for(lambda: _source(scene)["unacknowledged"] >= RATE_HZ // 4, "messages to wait for the disk")
        syncs = len(scene.disk.syncs())
        for _ in range(5):
            assert _source(scene)["state"] == "connected"
            with urllib.request.urlopen(f"http://{scene.service.tables['web']['listen']}/livez") as answer:
                assert answer.status == 200
        assert len(scene.disk.syncs()) == syncs, "the disk went on before it was asked"
        scene.disk.is_to("")
    scene.assert_stored(slow + RATE_HZ, slow // 2 + RATE_HZ)


def test_a_sync_that_fails_retires_the_file_and_acknowledges_nobody(scene: Scene) -> None:
    segments = [_segments(scene)]
    with in_background(scene.publish, 0, 3 * RATE_HZ):
        wait_for(lambda: _source(scene)["acknowledged"] > RATE_HZ // 4, "the first to be acknowledged")
        scene.disk.is_to("fail 1 -wal")
        wait_for(lambda: "the journal has room again" in scene.service.last_words(), "the journal to go on")
        segments.append(_segments(scene))
        failed = scene.disk.failed()
        assert failed == 1
        scene.disk.is_to("fail 0 .journal")
        wait_for(lambda: scene.service.source_state() == "journal_full", "the source to leave")
        wait_for(lambda: scene.disk.failed() > failed + 2, "more tries")
        assert "can't be written" in _source(scene)["detail"]
        assert "can't be written" in scene.service.last_words()
        scene.disk.is_to("")
    scene.assert_stored(3 * RATE_HZ, 3 * RATE_HZ)
    wait_for(lambda: scene.service.source_state() == "connected", "the source to come back")
    segments.append(_segments(scene))
    assert max(segments[0]) < max(segments[1]) < max(segments[2]), "a segment goes on after a failed sync"
    # Later it may go, when all of it is stored.
    assert segments[0] <= segments[1], "what was in a retired segment is gone"


def _segments(scene: Scene) -> set[Path]:
    return set(scene.service.journal.glob("*.journal"))


def _source(scene: Scene) -> dict[str, Any]:
    status = scene.service.status()
    assert status is not None, "the admin socket does not answer"
    return dict(status["sources"][0])

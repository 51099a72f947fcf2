# SPDX-License-Identifier: MIT
"""Files that grow while the service is killed, its database goes, its disk is full, its events are lost."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tessmon.control.client import tell
from tessmon.demo.servers import Broker, PostgresServer
from tests import flatlogs, scale
from tests.observatory import Publisher, Service, fetch, in_background, reading, stamp, tally, wait_for
from tests.postgres import Database, fresh_database, programs_in, running_server
from tests.telemetry import contents, events, following, rejects, service, tree, wait_idle, wait_tally
from tests.unprivileged import open_directory

__all__ = ["open_directory", "service", "tree"]

KINDS = ("bintel", "ndjson")
RATE_HZ = 100
LOST_EVENTS = 9_000
"""Rounds that fill the kernel's queue of 16 384 events."""


def stream(kind: str, count: int) -> list[bytes]:
    """Records of one kind of file, in order."""
    if kind == "bintel":
        return list(flatlogs.mixed_records(count))
    return [
        json.dumps(
            {
                "ts": f"2024-10-22T{n // 36_000:02}:{n // 600 % 60:02}:{n // 10 % 60:02}.{n % 10}00000000",
                "prio": "TELM",
                "ec": "telem_indi_set",
                "msg": {"n": n, "text": "é" * (n % 50)},
            }
        ).encode()
        + b"\n"
        for n in range(count)
    ]


def file_name(kind: str, number: int) -> str:
    """Of a device's files, the later the higher its number."""
    clock = f"{number // 3600:02}{number // 60 % 60:02}{number % 60:02}"
    if kind == "bintel":
        return f"camwfs_20241022{clock}000000000.bintel"
    return f"maggieo_x_2024-10-22T{clock}.ndjson"


class Device:
    """Writes records to files as a device does, cut anywhere."""

    def __init__(self, tree: Path, kind: str, records: list[bytes], files: int, seed: int) -> None:
        self._chance = random.Random(seed)
        share = len(records) // files
        self._left = [
            (tree / file_name(kind, number), b"".join(records[number * share : (number + 1) * share]))
            for number in range(files)
        ]

    def write(self) -> bool:
        """Some more; false when all is written."""
        if not self._left:
            return False
        path, content = self._left[0]
        size = self._chance.choice((1, 7, 100, 5000, 50_000))
        with path.open("ab") as file:
            file.write(content[:size])
        if len(content) > size:
            self._left[0] = path, content[size:]
        else:
            del self._left[0]
        return True


def in_one_piece(
    tmp_path: Path, database: Database, streams: dict[str, list[bytes]]
) -> list[tuple[Any, ...]]:
    """What is in the database when all was there before the service began."""
    tree = tmp_path / "whole"
    tree.mkdir()
    for kind, records in streams.items():
        (tree / file_name(kind, 0)).write_bytes(b"".join(records))
    service = following(tmp_path / "undisturbed", tree, database)
    try:
        service.start()
        wait_tally(database, service, stored=sum(map(len, streams.values())))
    finally:
        service.end()
    return contents(database)


def test_kills_at_random_moments_lose_and_double_nothing(
    service: Service, tree: Path, tmp_path: Path, database: Database, other_database: Database
) -> None:
    count = 1500 * scale.FOLLOWED_KILLS
    streams = {kind: stream(kind, count) for kind in KINDS}
    devices = [Device(tree, kind, records, 5, seed) for seed, (kind, records) in enumerate(streams.items())]
    chance = random.Random(20_261_123)
    service.start()

    def write() -> None:
        while [device for device in devices if device.write()]:
            time.sleep(0.002)  # between two writes of a device

    with in_background(write):
        for _ in range(scale.FOLLOWED_KILLS):
            time.sleep(chance.uniform(0.0, 1.2))  # the random moment
            service.kill()
            service.start(wait=False)
    wait_tally(database, service, stored=2 * count)
    assert rejects(database) == []
    assert contents(database) == in_one_piece(tmp_path, other_database, streams)
    service.assert_quick()


@pytest.mark.parametrize(
    ("point", "nth"),
    [("writer.before_commit", 2), ("writer.commit_sent", 2), ("writer.after_commit", 2)],
)
def test_a_kill_at_a_named_point_loses_and_doubles_nothing(
    point: str, nth: int, service: Service, tree: Path, database: Database
) -> None:
    count = 12_000
    for kind in KINDS:
        (tree / file_name(kind, 0)).write_bytes(b"".join(stream(kind, count)))
    service.start(f"{point}:{nth}", wait=False)
    wait_for(lambda: not service.alive, f"the kill at {point}")
    service.start()
    wait_tally(database, service, stored=2 * count)
    assert rejects(database) == []
    service.assert_quick()


def test_a_database_that_goes_and_a_pause_in_mid_file_cost_nothing(
    service: Service, tree: Path, database: Database, postgres: PostgresServer
) -> None:
    """It is away at the start, killed in mid-batch, and a file that was open goes while it is away."""
    count = 60_000
    path = tree / file_name("bintel", 0)
    made = stream("bintel", count)
    path.write_bytes(b"".join(made[: count // 2]))
    postgres.stop()
    service.start()
    wait_for(lambda: service.lane_state() == "waiting", "the lane to wait")
    postgres.start()
    wait_for(lambda: tally(database.dsn).get("stored", 0) > 2000, "some rows")
    postgres.kill()
    postgres.start()
    wait_for(lambda: service.lane_state() in ("running", "idle"), "the lane to go on")
    service.signal(signal.SIGUSR1)
    wait_for(lambda: service.lane_state() == "paused", "the pause")
    stored = tally(database.dsn)["total"]
    with path.open("ab") as file:
        file.write(b"".join(made[count // 2 :]))
    assert tally(database.dsn)["total"] == stored
    service.signal(signal.SIGUSR2)
    wait_for(lambda: tally(database.dsn)["total"] > stored + 10_000, "some rows more")
    postgres.stop("immediate")
    path.unlink()
    postgres.start()
    wait_tally(database, service, stored=count)
    wait_for(
        lambda: fetch(database.dsn, "SELECT state FROM file_origins") == [("vanished",)],
        "the file to be gone",
    )
    assert {"paused", "resumed"} <= set(events(database))
    service.assert_quick()


def test_a_full_disk_of_the_database_is_waited_for(tmp_path: Path, tree: Path, open_directory: Path) -> None:
    library, full = open_directory / "full_disk.so", open_directory / "full"
    source = Path(__file__).with_name("full_disk.c")
    subprocess.run(
        ["gcc", "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"],
        check=True,
    )
    programs = programs_in(open_directory, {"LD_PRELOAD": str(library), "FULL_DISK": str(full)})
    with running_server(binaries=programs) as server, fresh_database(server) as database:
        service = following(tmp_path / "service", tree, database)
        try:
            service.start()
            (tree / file_name("bintel", 0)).write_bytes(b"".join(stream("bintel", 2000)))
            wait_tally(database, service, stored=2000)
            full.touch()
            (tree / file_name("bintel", 1)).write_bytes(b"".join(stream("bintel", 20_000)[2000:]))
            lane = wait_for(lambda: _waiting(service), "the lane to wait for room")
            assert "No space left" in lane["detail"]
            full.unlink()
            wait_tally(database, service, stored=20_000)
            assert rejects(database) == []
            service.assert_quick()
        finally:
            service.end()


def _waiting(service: Service) -> dict[str, Any] | None:
    [lane] = (service.status() or {"lanes": [{"state": ""}]})["lanes"]
    return lane if lane["state"] == "waiting" else None


def test_photometers_and_files_go_on_when_the_other_has_trouble(
    tmp_path: Path, tree: Path, database: Database, broker: Broker, publisher: Publisher
) -> None:
    mqtt = {"broker": broker.url, "client_id": f"tessmon-files-{time.time_ns()}"}
    service = following(tmp_path / "service", tree, database, mqtt=mqtt)
    made = stream("bintel", 40)
    path = tree / file_name("bintel", 0)
    try:
        service.start()
        wait_for(lambda: service.source_state() == "connected", "the broker's session")
        publisher.register("stars1", "AA:BB:CC:00:00:01", tstamp="2026-01-01T00:00:00")
        path.write_bytes(b"".join(made[:10]))
        wait_for(lambda: _stored(database) == (10, 0), "the files")

        database.execute("REVOKE INSERT ON telem FROM tessmon_writer")
        _append(path, made[10:20])
        publisher.publish(*reading("stars1", 1, tstamp=stamp(1)))
        wait_for(lambda: _states(service).get("telemetry") == "refused", "the files' lane to be refused")
        wait_for(lambda: _stored(database) == (10, 1), "the photometers")
        assert _states(service)["photometer"] in ("running", "idle")
        assert (service.status() or {})["state"] == "refused"
        database.execute("GRANT INSERT ON telem TO tessmon_writer")
        _again(service)
        wait_for(lambda: _stored(database) == (20, 1), "the files again")

        database.execute("REVOKE INSERT ON tess_readings_t FROM tessmon_writer")
        publisher.publish(*reading("stars1", 2, tstamp=stamp(2)))
        _append(path, made[20:30])
        wait_for(lambda: _states(service).get("photometer") == "refused", "the photometers to be refused")
        wait_for(lambda: _stored(database) == (30, 1), "the files")
        database.execute("GRANT INSERT ON tess_readings_t TO tessmon_writer")
        _again(service)
        wait_for(lambda: _stored(database) == (30, 2), "the photometers again")

        database.execute("UPDATE positions SET position = '{1, 2}' WHERE lane = 'telemetry'")
        database.execute(
            "UPDATE positions SET position = p.told FROM (SELECT %s::bigint[] AS told) AS p "
            "WHERE lane = 'telemetry'",
            [[len(b"".join(made[:25]))]],
        )
        _append(path, made[30:])
        publisher.publish(*reading("stars1", 3, tstamp=stamp(3)))
        wait_for(lambda: _stored(database) == (40, 3), "both behind a position that somebody moved")
        assert tally(database.dsn)["duplicate"] == 5
        service.assert_quick()
    finally:
        service.end()


def _append(path: Path, records: list[bytes]) -> None:
    with path.open("ab") as file:
        file.write(b"".join(records))


def _again(service: Service) -> None:
    """What is refused is tried again at once."""
    tell(service.socket, "/pause", "a test")
    tell(service.socket, "/resume", "a test")


def _states(service: Service) -> dict[str, str]:
    return {lane["name"]: lane["state"] for lane in (service.status() or {"lanes": []})["lanes"]}


def _stored(database: Database) -> tuple[int, int]:
    [counts] = database.fetch("SELECT (SELECT count(*) FROM telem), (SELECT count(*) FROM tess_readings_t)")
    return counts


def test_a_flood_of_events_that_the_kernel_drops_loses_nothing(
    service: Service, tree: Path, database: Database
) -> None:
    made = {kind: stream(kind, LOST_EVENTS) for kind in KINDS}
    service.start()
    wait_idle(service, database)
    service.signal(signal.SIGSTOP)
    paths = [tree / file_name(kind, 0) for kind in KINDS]
    with paths[0].open("ab", buffering=0) as one, paths[1].open("ab", buffering=0) as other:
        for records in zip(*made.values(), strict=True):
            for file, content in zip((one, other), records, strict=True):
                file.write(content)
    (tree / "later").mkdir()
    (tree / "later" / file_name("bintel", 1)).write_bytes(
        b"".join(stream("bintel", LOST_EVENTS + 100)[-100:])
    )
    service.signal(signal.SIGCONT)
    wait_tally(database, service, stored=2 * LOST_EVENTS + 100)
    assert events(database).count("events_lost") == 1
    service.assert_quick()


def test_many_devices_at_once_lose_nothing(service: Service, tree: Path, database: Database) -> None:
    """Each writes once a second, as the instrument does, and begins a new file now and then."""
    devices, seconds = scale.FOLLOWED_DEVICES, scale.FOLLOWED_S
    count = RATE_HZ * seconds
    made = stream("bintel", count)
    service.start()
    began = time.monotonic()
    for step in range(devices * seconds):
        ahead_s = began + step / devices - time.monotonic()
        if ahead_s > 0:
            time.sleep(ahead_s)  # the rate is what is asked for
        second, device = divmod(step, devices)
        path = tree / f"device{device}_2024102203{second // 20:02}00000000000.bintel"
        _append(path, made[second * RATE_HZ : (second + 1) * RATE_HZ])
    wait_tally(database, service, timeout_s=120, stored=devices * count)
    print(f"{devices} devices at {RATE_HZ}/s for {seconds} s: {time.monotonic() - began:.1f} s")
    assert rejects(database) == []
    service.assert_quick()

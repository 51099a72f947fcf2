# SPDX-License-Identifier: MIT
"""A plain coordinator for tests of what stands around it: it remembers what was asked of it."""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.defer import Deferred, succeed

from tessmon.interfaces import JournalStatus, LaneStatus, SourceStatus, VlbimonStatus
from tessmon.records.position import START
from tessmon.sources.sightings import FilesStatus


def source_status(**fields: Any) -> SourceStatus:
    status = SourceStatus("mqtt", "connected", "connected to mqtt://127.0.0.1:1883", 10, 7, 6, 5, 1, 2, 1)
    return status._replace(**fields)


def files_status(**fields: Any) -> FilesStatus:
    status = FilesStatus(
        "files", "following", "2 directories and what is below them", 10, "inotify", 70, 3, 9, 9
    )
    return status._replace(**fields)


def vlbimon_status(**fields: Any) -> VlbimonStatus:
    now_ns = time.time_ns()
    status = VlbimonStatus(
        "vlbimon",
        "connected",
        "a snapshot every 10 s of https://monitor.example.org",
        10,
        "https://monitor.example.org",
        90,
        4,
        2,
        now_ns - 3 * 10**9,
        0.25,
        270,
        0,
        1,
        now_ns // 10**9 - 600,
        True,
        6,
        "1712345690.25",
        now_ns + 7 * 10**9,
        False,
        True,
        None,
    )
    return status._replace(**fields)


def journal_status(**fields: Any) -> JournalStatus:
    status = JournalStatus(2, 4096, 1024, 8 << 30, 100 << 30, None, (5, 6, 7), 0)
    return status._replace(**fields)


def lane_status(**fields: Any) -> LaneStatus:
    outcomes = {
        ("stored", ""): 40,
        ("stored", "new"): 2,
        ("rejected", "not_json"): 3,
        ("rejected", "unregistered"): 1,
        ("filtered", "retained"): 1,
        ("duplicate", ""): 4,
    }
    now_ns = time.time_ns()
    status = LaneStatus(
        "photometer",
        "idle",
        "all is stored",
        10,
        (5, 6, 7),
        START,
        9,
        outcomes,
        {"unregistered": 2},
        now_ns,
        now_ns,
        0.004,
        0,
    )
    return status._replace(**fields)


class PlainFace:
    """Answers with what the test put in."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.liveness = (True, "live")
        self.readiness = (True, "what is accepted reaches the database")
        self.sources = [source_status()]
        self.files: list[FilesStatus] = []
        self.vlbimon: list[VlbimonStatus] = []
        self.journals = [journal_status()]
        self.lanes = [lane_status()]
        self.lag_s: float | None = 1.5
        self.state = "running"
        self.paused: dict[str, Any] | None = None
        self.reloads: list[Deferred[list[str]]] = []
        self.pausing: Deferred[list[str]] | None = None
        self.frames_waiting = 3
        self.outlook: dict[str, Any] | None = {
            "frames": 3,
            "size_bytes": 300,
            "oldest_ns": time.time_ns() - 10**9,
            "full_in_s": None,
            "drained_in_s": 0.01,
            "arrival_hz": 10.0,
            "drain_hz": 300.0,
        }

    def status(self) -> dict[str, Any]:
        lanes = []
        for lane in self.lanes:
            outcomes = [[outcome, cause, count] for (outcome, cause), count in lane.outcomes.items()]
            lanes.append(
                {
                    **lane._asdict(),
                    "outcomes": outcomes,
                    "journal": "mqtt",
                    "lag_s": self.lag_s,
                    "outlook": self.outlook,
                }
            )
        place = {
            "name": "mqtt",
            "identity": "00000000-1111",
            "directory": "/var/lib/tessmon/mqtt",
        }
        return {
            "version": "0.1.0",
            "pid": 4711,
            "started_ns": time.time_ns() - 3 * 10**9,
            "now_ns": time.time_ns(),
            "state": self.state,
            "paused": self.paused,
            "schema": {"database": 1, "program": 1},
            "sources": [source._asdict() for source in self.sources],
            "files": [source._asdict() for source in self.files],
            "vlbimon": [source._asdict() for source in self.vlbimon],
            "journals": [{**place, **journal._asdict()} for journal in self.journals],
            "lanes": lanes,
            "config": {"path": "/etc/tessmon/tessmon.toml"},
        }

    async def waiting(self) -> dict[str, Any]:
        oldest_ns = time.time_ns() - 10**9 if self.frames_waiting else None
        return {
            "photometer": {
                "frames": self.frames_waiting,
                "size_bytes": 100 * self.frames_waiting,
                "oldest_ns": oldest_ns,
            }
        }

    def pause(self, who: str, for_s: float | None = None) -> Deferred[list[str]]:
        self.asked.append(f"pause {who}" if for_s is None else f"pause {who} for {for_s:g} s")
        said = [f"it was paused before, by {self.paused['by']}"] if self.paused else []
        now_ns = time.time_ns()
        until_ns = None if for_s is None else now_ns + int(for_s * 1e9)
        self.state, self.paused = "paused", {"by": who, "since_ns": now_ns, "until_ns": until_ns}
        return self.pausing if self.pausing is not None else succeed(said)

    def resume(self, who: str, only_by: str | None = None) -> Deferred[list[str]]:
        self.asked.append(f"resume {who}" if only_by is None else f"resume {who} only by {only_by}")
        self.state, self.paused = "running", None
        return succeed([])

    def reload(self, dry_run: bool = False) -> Deferred[list[str]]:
        self.asked.append("reload, dry run" if dry_run else "reload")
        if self.reloads:
            return self.reloads.pop(0)
        return succeed(["[log] level: info -> debug"])

    def flush(self, who: str) -> Deferred[list[str]]:
        self.asked.append(f"flush {who}")
        return succeed(["photometer: stored, all that was held back"])

    def stop(self, who: str) -> Deferred[list[str]]:
        self.asked.append(f"stop {who}")
        return succeed([])

    def restart(self, who: str) -> Deferred[list[str]]:
        self.asked.append(f"restart {who}")
        return succeed([])

    def live(self) -> tuple[bool, str]:
        return self.liveness

    def ready(self) -> tuple[bool, str]:
        return self.readiness

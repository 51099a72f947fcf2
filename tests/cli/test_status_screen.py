# SPDX-License-Identifier: MIT
"""The status screen: everything on it, and never wider than 80 columns."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tessmon.cli.status import rendered
from tessmon.cli.table import width
from tests.standin import PlainFace, journal_status, lane_status, source_status, vlbimon_status

COUNTS = st.integers(0, 2**63)
TIMES_NS = st.integers(0, 2**63)
TEXTS = st.text(max_size=300)


def as_served(face: PlainFace) -> dict[str, Any]:
    ready, detail = face.ready()
    waiting = asyncio.run(face.waiting())
    return {**face.status(), "waiting": waiting, "ready": ready, "ready_detail": detail}


def test_an_operator_finds_everything() -> None:
    text = " ".join(rendered(as_served(PlainFace())).split())
    for expected in (
        "0.1.0, process 4711, since ",
        "running: what is accepted reaches the database",
        "mqtt connected, since ",
        "7 received, 6 journalled, 5 acknowledged, 1 not yet, 1 redelivered; 2",
        "4.0 KiB; 1.0 KiB count against the limit of 8.0 GiB; 100.0 GiB free",
        "waiting: 3 frames, 300 bytes, the oldest came 1.0 s ago",
        "lag 1.5 s; 9 transactions, the last one",
        "stored 42 (new 2)",
        "duplicate 4 filtered",
        "filtered 1 (retained 1)",
        "rejected 4 (not_json 3, unregistered 1)",
        "/etc/tessmon/tessmon.toml",
    ):
        assert expected in text


def test_of_the_monitor_it_says_what_is_owed() -> None:
    face = PlainFace()
    face.vlbimon = [vlbimon_status()]
    text = " ".join(rendered(as_served(face)).split())
    assert "90 snapshots, 4 polls failed, the last 2 in a row" in text
    assert "history is whole but for the last 10 min" in text
    assert "it is being asked for" in text
    face.vlbimon = [vlbimon_status(failures=0, swept_s=None)]
    text = " ".join(rendered(as_served(face)).split())
    assert "4 polls failed" in text
    assert "in a row" not in text
    assert "history" not in text


def test_trouble_stands_out() -> None:
    face = PlainFace()
    face.pause("ana")
    face.readiness = (False, "writes are paused")
    face.journals = [journal_status(full="the disk has 3 bytes left: make room", damaged=2)]
    face.sources = [source_status(state="journal_full", detail="left the broker in good order")]
    text = rendered(as_served(face))
    assert "paused: writes are paused" in text
    assert "by ana, since" in text
    assert "FULL: the disk has 3 bytes left: make room" in text
    assert "DAMAGED: 2 files" in text
    assert "left the broker in good order" in text


def test_a_terminal_holds_it() -> None:
    for paused in (False, True):
        face = PlainFace()
        if paused:
            face.pause("ana", 7200)
            face.readiness = (False, "writes are paused")
            face.lanes = [
                lane_status(state="paused", detail="writes are paused; the journal goes on filling")
            ]
            face.outlook = {"full_in_s": 7260.0, "drained_in_s": 65.0}
        assert len(rendered(as_served(face)).splitlines()) <= 24


def test_a_pause_says_who_until_when_and_what_comes_of_it() -> None:
    face = PlainFace()
    face.pause("ana", 7200)
    face.lanes = [lane_status(state="paused", held=12)]
    face.outlook = {"full_in_s": 7260.0, "drained_in_s": 65.0}
    text = " ".join(rendered(as_served(face)).split())
    for expected in (
        "by ana, since ",
        " UTC (in 1 h 59 min)",
        "it grows: full in about 2 h 1 min, at ",
        "waiting: 3 frames, 300 bytes",
        "to store it takes about 1 min 5 s then",
        "12 readings held back",
    ):
        assert expected in text
    face.pause("ana")
    face.outlook = {"full_in_s": None, "drained_in_s": None}
    text = " ".join(rendered(as_served(face)).split())
    assert "until `tessmon resume`" in text
    assert "how long it takes to store it is not known yet" in text
    assert "it grows" not in text


def test_what_the_database_has_not_told_is_no_promise() -> None:
    face = PlainFace()
    face.lanes = [lane_status(state="waiting", position=None)]
    assert "waiting: at most 3 frames" in " ".join(rendered(as_served(face)).split())


def test_before_the_first_commit_it_says_so() -> None:
    face = PlainFace()
    face.lag_s = None
    face.frames_waiting = 0
    face.lanes = [lane_status(position=None, low=None, last_commit_ns=0, last_frame_ns=0, outcomes={})]
    text = rendered(as_served(face))
    assert "nothing committed since the start" in text
    assert "waiting: nothing" in text


def test_a_service_without_inputs_has_a_screen() -> None:
    face = PlainFace()
    face.sources, face.journals, face.lanes = [], [], []
    assert rendered(as_served(face)).startswith("tessmon")


@given(
    counts=st.lists(COUNTS, min_size=12, max_size=12),
    times_ns=st.lists(TIMES_NS, min_size=4, max_size=4),
    texts=st.lists(TEXTS, min_size=6, max_size=6),
    outcomes=st.dictionaries(
        st.tuples(st.sampled_from(["stored", "duplicate", "filtered", "rejected"]), st.text(max_size=40)),
        COUNTS,
        max_size=40,
    ),
    lag_s=st.none() | st.floats(0, 1e18),
)
def test_no_line_is_wider_than_a_terminal(
    counts: list[int],
    times_ns: list[int],
    texts: list[str],
    outcomes: dict[tuple[str, str], int],
    lag_s: float | None,
) -> None:
    face = PlainFace()
    face.lag_s = lag_s
    face.readiness = (False, texts[0])
    face.paused = {"by": texts[1], "since_ns": times_ns[0], "until_ns": times_ns[1]}
    face.outlook = {"full_in_s": counts[1], "drained_in_s": lag_s}
    face.sources = [
        source_status(
            detail=texts[2],
            since_ns=times_ns[1],
            received=counts[0],
            journalled=counts[1],
            acknowledged=counts[2],
            redelivered=counts[3],
            connects=counts[4],
            unacknowledged=counts[5],
        )
    ]
    face.journals = [
        journal_status(
            segments=counts[6],
            size_bytes=counts[7],
            unpassed_bytes=counts[8],
            max_bytes=counts[9],
            free_bytes=counts[10],
            full=texts[3],
            damaged=counts[11],
        )
    ]
    face.lanes = [
        lane_status(
            detail=texts[4], since_ns=times_ns[2], last_commit_ns=times_ns[3], commit_s=1e9, outcomes=outcomes
        )
    ]
    face.frames_waiting = counts[0]
    assert all(width(line) <= 80 for line in rendered(as_served(face)).split("\n"))

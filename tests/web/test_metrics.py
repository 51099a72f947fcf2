# SPDX-License-Identifier: MIT
"""What is counted, as Prometheus reads it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tessmon.metrics import MAX_CAUSES, bounded_outcomes, registry_of
from tests.standin import PlainFace, journal_status, lane_status, source_status, vlbimon_status

LABELS = ("source", "journal", "lane", "outcome", "cause", "state", "version")


@pytest.fixture
def face() -> PlainFace:
    return PlainFace()


def samples(face: PlainFace) -> dict[tuple[str, tuple[str, ...]], float]:
    """(name, label values) → value, of tessmon's own metrics."""
    text = generate_latest(registry_of(face)).decode()
    found: dict[tuple[str, tuple[str, ...]], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("tessmon_"):
                assert set(sample.labels) <= set(LABELS)
                values = tuple(sample.labels[label] for label in LABELS if label in sample.labels)
                found[sample.name, values] = sample.value
    return found


def test_every_figure_of_the_status_is_there(face: PlainFace) -> None:
    found = samples(face)
    assert found["tessmon_source_received_messages_total", ("mqtt",)] == 7
    assert found["tessmon_source_journalled_messages_total", ("mqtt",)] == 6
    assert found["tessmon_source_acknowledged_messages_total", ("mqtt",)] == 5
    assert found["tessmon_source_redelivered_messages_total", ("mqtt",)] == 1
    assert found["tessmon_source_connections_total", ("mqtt",)] == 2
    assert found["tessmon_source_unacknowledged_messages", ("mqtt",)] == 1
    assert found["tessmon_journal_bytes", ("mqtt",)] == 4096
    assert found["tessmon_journal_unpassed_bytes", ("mqtt",)] == 1024
    assert found["tessmon_journal_max_bytes", ("mqtt",)] == 8 << 30
    assert found["tessmon_journal_disk_free_bytes", ("mqtt",)] == 100 << 30
    assert found["tessmon_journal_segments", ("mqtt",)] == 2
    assert found["tessmon_journal_damaged_files", ("mqtt",)] == 0
    assert found["tessmon_journal_full", ("mqtt",)] == 0
    assert found["tessmon_lane_batches_total", ("photometer",)] == 9
    assert found["tessmon_lane_lag_seconds", ("photometer",)] == 1.5
    assert found["tessmon_lane_commit_seconds", ("photometer",)] == 0.004
    assert found["tessmon_lane_waiting_frames", ("photometer",)] == 3
    assert found["tessmon_lane_waiting_bytes", ("photometer",)] == 300
    assert found["tessmon_lane_drain_seconds", ("photometer",)] == 0.01
    assert ("tessmon_lane_journal_full_in_seconds", ("photometer",)) not in found
    assert found["tessmon_lane_records_total", ("photometer", "stored", "new")] == 2
    assert found["tessmon_lane_records_total", ("photometer", "rejected", "not_json")] == 3
    assert found["tessmon_lane_records_total", ("photometer", "rejected", "unregistered")] == 1 + 2
    assert found["tessmon_lane_retried_total", ("photometer", "unregistered")] == 2
    last_s = found["tessmon_lane_last_commit_timestamp_seconds", ("photometer",)]
    assert last_s == pytest.approx(time.time(), abs=60)
    assert found["tessmon_ready", ()] == 1
    assert found["tessmon_paused", ()] == 0
    assert found["tessmon_build_info", ("0.1.0",)] == 1


def test_the_monitor_of_the_array_is_seen(face: PlainFace) -> None:
    face.vlbimon = [vlbimon_status()]
    found = samples(face)
    assert found["tessmon_vlbimon_state", ("connected",)] == 1
    assert found["tessmon_vlbimon_state", ("refused",)] == 0
    assert found["tessmon_vlbimon_snapshots_total", ()] == 90
    assert found["tessmon_vlbimon_failed_polls_total", ()] == 4
    assert found["tessmon_vlbimon_history_replies_total", ()] == 6
    assert found["tessmon_vlbimon_sessions_total", ()] == 1
    assert found["tessmon_vlbimon_owed_seconds", ()] == pytest.approx(600, abs=60)
    last_s = found["tessmon_vlbimon_last_snapshot_timestamp_seconds", ()]
    assert last_s == pytest.approx(time.time(), abs=60)
    face.vlbimon = [vlbimon_status(swept_s=None, last_poll_ns=0)]
    found = samples(face)
    assert ("tessmon_vlbimon_owed_seconds", ()) not in found
    assert ("tessmon_vlbimon_last_snapshot_timestamp_seconds", ()) not in found


def test_trouble_is_seen(face: PlainFace) -> None:
    face.pause("ana", 7200)
    face.readiness = (False, "paused by ana")
    face.sources = [source_status(state="journal_full")]
    face.journals = [journal_status(full="the disk is full", damaged=2)]
    face.lanes = [lane_status(state="paused")]
    face.outlook = {"frames": 3, "size_bytes": 300, "drained_in_s": None, "full_in_s": 7200.0}
    found = samples(face)
    assert found["tessmon_lane_journal_full_in_seconds", ("photometer",)] == 7200
    assert ("tessmon_lane_drain_seconds", ("photometer",)) not in found
    assert found["tessmon_pause_end_timestamp_seconds", ()] == pytest.approx(time.time() + 7200, abs=60)
    assert found["tessmon_paused", ()] == 1
    assert found["tessmon_ready", ()] == 0
    assert found["tessmon_state", ("paused",)] == 1
    assert found["tessmon_state", ("running",)] == 0
    assert found["tessmon_source_state", ("mqtt", "journal_full")] == 1
    assert found["tessmon_source_state", ("mqtt", "connected")] == 0
    assert found["tessmon_journal_full", ("mqtt",)] == 1
    assert found["tessmon_journal_damaged_files", ("mqtt",)] == 2
    assert found["tessmon_lane_state", ("photometer", "paused")] == 1


def test_before_the_first_commit_nothing_is_invented(face: PlainFace) -> None:
    face.lag_s = None
    face.lanes = [lane_status(position=None, low=None, last_commit_ns=0, last_frame_ns=0, outcomes={})]
    names = {name for name, _ in samples(face)}
    assert not names & {
        "tessmon_lane_lag_seconds",
        "tessmon_lane_commit_seconds",
        "tessmon_lane_last_commit_timestamp_seconds",
        "tessmon_lane_records_total",
    }
    assert "tessmon_lane_batches_total" in names


def test_a_service_without_sources_has_metrics(face: PlainFace) -> None:
    face.sources, face.journals, face.lanes = [], [], []
    assert samples(face)["tessmon_ready", ()] == 1


def test_an_unknown_state_is_shown_beside_the_known_ones(face: PlainFace) -> None:
    face.lanes = [lane_status(state="dreaming")]
    found = samples(face)
    assert found["tessmon_lane_state", ("photometer", "dreaming")] == 1
    assert found["tessmon_lane_state", ("photometer", "idle")] == 0


@given(st.dictionaries(st.tuples(st.sampled_from(["stored", "rejected"]), st.text()), st.integers(0, 10**9)))
def test_causes_are_bounded_and_no_record_is_uncounted(outcomes: dict[tuple[str, str], int]) -> None:
    listed = [(outcome, cause, count) for (outcome, cause), count in outcomes.items()]
    counted = bounded_outcomes(listed)
    assert len(counted) <= MAX_CAUSES + 2
    for outcome in ("stored", "rejected"):
        assert sum(n for (o, _), n in counted.items() if o == outcome) == sum(
            n for (o, _), n in outcomes.items() if o == outcome
        )


def test_a_thousand_causes_do_not_make_a_thousand_series(face: PlainFace) -> None:
    face.lanes = [lane_status(outcomes={("rejected", f"stars{number}"): 1 for number in range(1000)})]
    records = {key: value for key, value in samples(face).items() if key[0] == "tessmon_lane_records_total"}
    assert len(records) == MAX_CAUSES + 1
    assert records["tessmon_lane_records_total", ("photometer", "rejected", "other")] == 1000 - MAX_CAUSES
    assert sum(records.values()) == 1000

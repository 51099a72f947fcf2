# SPDX-License-Identifier: MIT
"""What is counted, for Prometheus: read out of the service's status when asked for, never in the hot path.

Labels are the names of the few sources, journals and lanes, and words that this program chooses. A
photometer's name is never one: there are thousands, and a broken one can call itself anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from tessmon.control.face import ServiceFace

MAX_CAUSES = 100
"""(outcome, cause) pairs shown per lane; there are some twenty. What is beyond is the cause ``other``."""

_SERVICE_STATES = ("running", "paused", "stopping", "refused", "waiting")
_SOURCE_STATES = ("starting", "connecting", "connected", "taken_over", "refused", "journal_full", "stopped")
_LANE_STATES = ("starting", "running", "idle", "paused", "waiting", "refused", "stopped")

_SOURCE_COUNTERS = {
    "received": ("received_messages", "Messages that came, redeliveries too."),
    "journalled": ("journalled_messages", "Messages appended to the journal."),
    "acknowledged": ("acknowledged_messages", "Messages acknowledged to the broker."),
    "redelivered": ("redelivered_messages", "Messages known already, acknowledged and not journalled again."),
    "connects": ("connections", "Connections made."),
}
_FILES_STATES = ("starting", "following", "missing", "limited", "stopped")
_FILES_GAUGES = {
    "files": ("known", "Telemetry files that are there."),
    "waiting": ("waiting", "Files that wait to be looked at."),
    "directories": ("directories", "Directories that are followed."),
    "watched": ("watched_directories", "Those of which the kernel tells changes."),
}
_VLBIMON_STATES = ("starting", "connecting", "connected", "refused", "journal_full", "stopped")
_VLBIMON_COUNTERS = {
    "polls": ("snapshots", "Snapshots that came."),
    "failed": ("failed_polls", "Polls that brought no snapshot."),
    "questions": ("history_replies", "Calls for history that were answered."),
    "sessions": ("sessions", "Sessions made with the server."),
}
_JOURNAL_GAUGES = {
    "size_bytes": ("bytes", "Size of all segments on disk."),
    "unpassed_bytes": ("unpassed_bytes", "Size of the segments that are not in the database yet."),
    "max_bytes": ("max_bytes", "Size of unpassed segments at which the source stops taking."),
    "free_bytes": ("disk_free_bytes", "Free space on the journal's disk."),
    "segments": ("segments", "Segments on disk."),
    "damaged": ("damaged_files", "Files set aside as damaged."),
}

_OUTLOOK_GAUGES = {
    "frames": ("waiting_frames", "Frames in the journal that are not in the database."),
    "size_bytes": ("waiting_bytes", "Size of these frames."),
    "drained_in_s": ("drain_seconds", "How long it takes to store them, by the pace of the last time."),
    "full_in_s": ("journal_full_in_seconds", "When the journal is full, if it goes on to grow like this."),
}


def registry_of(face: ServiceFace) -> CollectorRegistry:
    """A registry of its own, with the service's, the process' and the platform's metrics."""
    registry = CollectorRegistry()
    registry.register(ServiceCollector(face))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class ServiceCollector(Collector):
    """Turns one look at the service into metrics; called in the reactor's thread."""

    def __init__(self, face: ServiceFace) -> None:
        self._face = face

    def describe(self) -> list[Metric]:
        """Nothing: registration must not touch a service that is still being built."""
        return []

    def collect(self) -> Iterator[Metric]:
        status = self._face.status()
        yield from self._service(status)
        yield from _sources(status["sources"])
        yield from _files(status["files"])
        yield from _vlbimon(status["vlbimon"], status["now_ns"])
        yield from _journals(status["journals"])
        yield from _lanes(status["lanes"])

    def _service(self, status: dict[str, Any]) -> Iterator[Metric]:
        yield InfoMetricFamily(
            "tessmon_build", "The program that runs.", value={"version": str(status["version"])}
        )
        yield _gauge(
            "tessmon_paused", "1 while an operator keeps the database door closed.", status["paused"]
        )
        yield _gauge("tessmon_ready", "1 while what is accepted reaches the database.", self._face.ready()[0])
        end = GaugeMetricFamily("tessmon_pause_end_timestamp_seconds", "When a pause ends by itself.")
        if status["paused"] and status["paused"]["until_ns"]:
            end.add_metric([], status["paused"]["until_ns"] / 1e9)
        yield end
        states = GaugeMetricFamily("tessmon_state", "1 for the service's state.", labels=["state"])
        _one_hot(states, [], _SERVICE_STATES, status["state"])
        yield states


def _sources(sources: list[dict[str, Any]]) -> Iterator[Metric]:
    states = GaugeMetricFamily(
        "tessmon_source_state", "1 for the source's state.", labels=["source", "state"]
    )
    unacknowledged = GaugeMetricFamily(
        "tessmon_source_unacknowledged_messages", "Messages that wait for the disk.", labels=["source"]
    )
    for source in sources:
        _one_hot(states, [source["name"]], _SOURCE_STATES, source["state"])
        unacknowledged.add_metric([source["name"]], source["unacknowledged"])
    yield states
    yield unacknowledged
    for field, (name, text) in _SOURCE_COUNTERS.items():
        counter = CounterMetricFamily(f"tessmon_source_{name}", text, labels=["source"])
        for source in sources:
            counter.add_metric([source["name"]], source[field])
        yield counter


def _files(sources: list[dict[str, Any]]) -> Iterator[Metric]:
    states = GaugeMetricFamily(
        "tessmon_files_state", "1 for the state of the source of files.", labels=["state"]
    )
    for source in sources:
        _one_hot(states, [], _FILES_STATES, source["state"])
    yield states
    for field, (name, text) in _FILES_GAUGES.items():
        gauge = GaugeMetricFamily(f"tessmon_files_{name}", text)
        for source in sources:
            gauge.add_metric([], source[field])
        yield gauge


def _vlbimon(sources: list[dict[str, Any]], now_ns: int) -> Iterator[Metric]:
    states = GaugeMetricFamily(
        "tessmon_vlbimon_state", "1 for the state of the source of the array's monitor.", labels=["state"]
    )
    owed = GaugeMetricFamily(
        "tessmon_vlbimon_owed_seconds", "The last time of which history is not whole yet."
    )
    last = GaugeMetricFamily(
        "tessmon_vlbimon_last_snapshot_timestamp_seconds", "When the newest snapshot came."
    )
    for source in sources:
        _one_hot(states, [], _VLBIMON_STATES, source["state"])
        if source["swept_s"] is not None:
            owed.add_metric([], max(0.0, now_ns / 1e9 - source["swept_s"]))
        if source["last_poll_ns"]:
            last.add_metric([], source["last_poll_ns"] / 1e9)
    yield from (states, owed, last)
    for field, (name, text) in _VLBIMON_COUNTERS.items():
        counter = CounterMetricFamily(f"tessmon_vlbimon_{name}", text)
        for source in sources:
            counter.add_metric([], source[field])
        yield counter


def _journals(journals: list[dict[str, Any]]) -> Iterator[Metric]:
    for field, (name, text) in _JOURNAL_GAUGES.items():
        gauge = GaugeMetricFamily(f"tessmon_journal_{name}", text, labels=["journal"])
        for journal in journals:
            gauge.add_metric([journal["name"]], journal[field])
        yield gauge
    full = GaugeMetricFamily("tessmon_journal_full", "1 while the journal takes nothing.", labels=["journal"])
    for journal in journals:
        full.add_metric([journal["name"]], journal["full"] is not None)
    yield full


def _lanes(lanes: list[dict[str, Any]]) -> Iterator[Metric]:
    labels = ["lane"]
    states = GaugeMetricFamily("tessmon_lane_state", "1 for the lane's state.", labels=["lane", "state"])
    records = CounterMetricFamily(
        "tessmon_lane_records", "Records by what became of them and why.", labels=["lane", "outcome", "cause"]
    )
    retried = CounterMetricFamily(
        "tessmon_lane_retried", "Rejects that were taken back and counted anew.", labels=["lane", "cause"]
    )
    held = GaugeMetricFamily("tessmon_lane_held_records", "Records that stages hold back.", labels=labels)
    batches = CounterMetricFamily("tessmon_lane_batches", "Transactions committed.", labels=labels)
    lag = GaugeMetricFamily(
        "tessmon_lane_lag_seconds",
        "Time from a message's arrival to its commit; while some wait, since the newest that is stored arrived.",
        labels=labels,
    )
    commit = GaugeMetricFamily("tessmon_lane_commit_seconds", "Duration of the last commit.", labels=labels)
    last = GaugeMetricFamily(
        "tessmon_lane_last_commit_timestamp_seconds",
        "When the last transaction was committed.",
        labels=labels,
    )
    yield from _outlooks(lanes)
    for lane in lanes:
        name = [lane["name"]]
        _one_hot(states, name, _LANE_STATES, lane["state"])
        for (outcome, cause), count in bounded_outcomes(_ever(lane)).items():
            records.add_metric([*name, outcome, cause], count)
        for cause, count in lane["retried"].items():
            retried.add_metric([*name, cause], count)
        held.add_metric(name, lane["held"])
        batches.add_metric(name, lane["batches"])
        if lane["lag_s"] is not None:
            lag.add_metric(name, lane["lag_s"])
        if lane["last_commit_ns"]:
            last.add_metric(name, lane["last_commit_ns"] / 1e9)
            commit.add_metric(name, lane["commit_s"])
    yield from (states, records, retried, held, batches, lag, commit, last)


def _outlooks(lanes: list[dict[str, Any]]) -> Iterator[Metric]:
    """What waits, and what becomes of it if all goes on as it did; what is not known is left out."""
    for field, (name, text) in _OUTLOOK_GAUGES.items():
        gauge = GaugeMetricFamily(f"tessmon_lane_{name}", text, labels=["lane"])
        for lane in lanes:
            if lane["outlook"] and lane["outlook"][field] is not None:
                gauge.add_metric([lane["name"]], lane["outlook"][field])
        yield gauge


def _ever(lane: dict[str, Any]) -> list[tuple[str, str, int]]:
    """Outcomes that only grow, as counters must: a reject that was taken back is one all the same."""
    retried = lane["retried"]
    return [
        (outcome, cause, count + (retried.get(cause, 0) if outcome == "rejected" else 0))
        for outcome, cause, count in lane["outcomes"]
    ]


def bounded_outcomes(outcomes: list[tuple[str, str, int]]) -> dict[tuple[str, str], int]:
    """Records by (outcome, cause), never more than `MAX_CAUSES` pairs and one ``other`` per outcome."""
    counted: dict[tuple[str, str], int] = {}
    for place, (outcome, cause, count) in enumerate(sorted(outcomes, key=lambda entry: tuple(entry[:2]))):
        key = (outcome, cause if place < MAX_CAUSES else "other")
        counted[key] = counted.get(key, 0) + count
    return counted


def _gauge(name: str, text: str, value: object) -> Metric:
    return GaugeMetricFamily(name, text, value=float(bool(value)))


def _one_hot(family: GaugeMetricFamily, labels: list[str], states: tuple[str, ...], state: str) -> None:
    """Every known state with 0 or 1, so that a graph has no holes; an unknown one is shown as well."""
    for known in states if state in states else (*states, state):
        family.add_metric([*labels, known], known == state)

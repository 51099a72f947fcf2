# SPDX-License-Identifier: MIT
"""The lines of the data set: those of Python devices, those that the instrument's printer wrote, and real ones."""

from __future__ import annotations

import calendar
import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tessmon.records.telemetry import TelemetryEvent
from tests.decode.ndjson_lines import MAGAOX, decode, literal, read_otherwise

NDJSON = sorted(path for path in MAGAOX.glob("exao*/**/*") if ".ndjson" in path.suffixes)
EXPECTATIONS = json.loads((MAGAOX / "expectations-ndjson.json").read_text())
PRINTED = sorted((MAGAOX / "reference").glob("**/*.ndjson"))


def text_of(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def events_of(content: bytes) -> list[TelemetryEvent]:
    records = decode(content).records
    assert all(isinstance(record, TelemetryEvent) for record in records)
    return records


def ns_of(stamp: str) -> int:
    """A stamp in UTC, read another way."""
    second_s = calendar.timegm(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S"))
    return second_s * 10**9 + (int(stamp[20:]) if stamp[19] == "." else 0)


def assert_lines_are_read(content: bytes, events: list[TelemetryEvent]) -> None:
    offset = 0
    lines = content[: content.rfind(b"\n")].split(b"\n")
    for event, line in zip(events, lines, strict=True):
        said = read_otherwise(line)
        assert event.offset == offset
        assert event.raw == line
        assert event.subject == said.get("device", "maggieo_x")
        assert (event.ts_ns, event.ec) == (ns_of(said["ts"]), said["ec"])
        assert event.prio == said.get("prio", "").strip()
        assert read_otherwise(event.msg) == said["msg"]
        assert not event.marked
        offset += len(line) + 1


@pytest.mark.parametrize("path", NDJSON, ids=lambda path: path.name)
def test_files_of_python_devices_are_read_exactly(path: Path) -> None:
    content = text_of(path)
    events = events_of(content)
    assert len(events) == EXPECTATIONS[str(path.relative_to(MAGAOX))]["sound_records"]
    assert_lines_are_read(content, events)


def test_each_file_of_python_devices_is_among_them() -> None:
    assert {str(path.relative_to(MAGAOX)) for path in NDJSON} == EXPECTATIONS.keys()


def test_the_stamp_without_a_fraction_and_values_that_are_no_numbers_are_read() -> None:
    [path] = [path for path in NDJSON if "031405" in path.name]
    by_name = {json.loads(event.msg)["name"]: event for event in events_of(text_of(path)) if "{" in event.msg}
    assert by_name["whole_second"].ts_ns == 1_729_566_849_000_000_000
    assert json.loads(by_name["nan"].msg)["elements"] == {"a": "NaN", "b": "Infinity", "c": "-Infinity"}
    [greeting] = [event for event in events_of(text_of(path)) if event.ec == "greeting"]
    assert json.loads(greeting.msg) == "a message that is a plain string, ünïcödé"


def test_the_line_that_is_still_written_waits() -> None:
    [path] = [path for path in NDJSON if path.suffix == ".ndjson"]
    content = path.read_bytes()
    assert decode(content).used == content.rfind(b"\n") + 1 < len(content)
    last = decode(content, last=True)
    assert last.used == content.rfind(b"\n") + 1
    assert [record.reason for record in last.records[10:]] == ["cut"]


def test_real_lines_are_read_exactly_each_for_its_device() -> None:
    content = (MAGAOX / "real-lines.ndjson").read_bytes()
    events = events_of(content)
    assert len(events) == 264
    assert len({event.subject for event in events}) == 25
    assert {event.file.origin for event in events} == {"exao1/7"}
    assert_lines_are_read(content, events)


def rounds_to(exact: Any, printed: Any) -> bool:
    """Whether the printer, which rounds to 6 or 12 decimals, prints a value so."""
    if isinstance(exact, dict):
        return exact.keys() == printed.keys() and all(rounds_to(exact[key], printed[key]) for key in exact)
    if isinstance(exact, list):
        return len(exact) == len(printed) and all(map(rounds_to, exact, printed))
    if isinstance(exact, float):
        texts = {f"{exact:.{decimals}f}" for decimals in (6, 12)}
        return printed in {literal(text) for text in texts}
    return type(exact) is type(printed) and exact == printed if isinstance(exact, bool) else exact == printed


@pytest.mark.parametrize("path", PRINTED, ids=lambda path: path.name)
def test_lines_of_the_printer_are_the_exact_values_rounded(path: Path) -> None:
    relative = path.relative_to(MAGAOX / "reference").with_suffix("")
    exact = [json.loads(line) for line in (MAGAOX / "exact" / f"{relative}.exact.ndjson").open()]
    events = events_of(path.read_bytes())
    assert len(events) == len(exact) > 20
    for event, record in zip(events, exact, strict=True):
        assert event.ts_ns == record["time_s"] * 10**9 + record["time_ns"]
        assert event.ec == record["name"]
        assert rounds_to(record["msg"], read_otherwise(event.msg)), (record["msg"], event.msg)

# SPDX-License-Identifier: MIT
"""Files of the instrument give what its own library and an independent program read from them."""

from __future__ import annotations

import json
import math
import struct
from datetime import UTC, datetime
from typing import Any

import pytest

from tessmon.decode.schemas import Event, Field
from tessmon.records.telemetry import TelemetryEvent, digest_of
from tests import flatlogs
from tests.decode.bintel_pieces import DECODER, MAGAOX, decode, piece

EXPECTED: dict[str, dict[str, Any]] = json.loads((MAGAOX / "expectations.json").read_text())
SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf, "-0.0": -0.0}
PRIORITIES = {
    **dict(enumerate(("EMER", "ALRT", "CRIT", "ERR", "WARN", "NOTE", "INFO", "DBG", "DBG2"))),
    64: "TELM",
}
PRINTED = {"ERR": "ERR ", "DBG": "DBG "}
LINE_DIGITS = {"float32": 6, "float64": 12}


def events_of(path: str) -> list[TelemetryEvent]:
    records = decode((MAGAOX / path).read_bytes(), last=True).records
    return [record for record in records if isinstance(record, TelemetryEvent)]


def lines(folder: str, path: str, suffix: str) -> list[str]:
    return (MAGAOX / folder / f"{path}{suffix}").read_text().splitlines()


def schema(record: TelemetryEvent) -> Event:
    code = int.from_bytes(record.raw[1:3], "little")
    return flatlogs.event(code, record.ts_ns)


def same(ours: Any, exact: Any, type_: str) -> bool:
    """Whether a value is the exact one; a float32 as float32, a float64 to the last bit."""
    if type_ in LINE_DIGITS:
        packer = struct.Struct("<f" if type_ == "float32" else "<d")
        one, other = (packer.pack(SPECIAL.get(value, value)) for value in (ours, exact))
        return one == other or (one != one and other != other)
    return type(ours) is type(exact) and ours == exact


def assert_exact(ours: dict[str, Any], exact: dict[str, Any], fields: tuple[Field, ...] | None) -> None:
    assert list(ours) == list(exact)
    for field in fields or ():
        if field.name not in ours:
            continue
        one, other = ours[field.name], exact[field.name]
        if field.table is not None:
            assert_exact(one, other, field.table)
        elif field.vector:
            assert len(one) == len(other)
            assert all(same(each, its, field.type) for each, its in zip(one, other, strict=True)), field
        else:
            assert same(one, other, field.type), (field, one, other)


def test_the_data_set_is_all_there() -> None:
    found = {str(path.relative_to(MAGAOX)) for path in MAGAOX.glob("exao*/**/*.bin*")}
    assert found == EXPECTED.keys()
    assert len(found) == 9


@pytest.mark.parametrize("path", EXPECTED)
def test_every_value_is_exact(path: str) -> None:
    events = events_of(path)
    exact = [json.loads(line) for line in lines("exact", path, ".exact.ndjson")]
    assert [(event.offset, event.ts_ns, event.ec) for event in events] == [
        (line["offset"], line["time_s"] * 10**9 + line["time_ns"], line["name"]) for line in exact
    ]
    for event, line in zip(events, exact, strict=True):
        assert_exact(json.loads(event.msg), line["msg"], schema(event).fields)
        assert event.digest == digest_of(event.raw)
        assert event.prio == PRIORITIES[line["prio"]]
        assert not event.marked


@pytest.mark.parametrize("path", EXPECTED)
def test_rounded_it_is_what_the_instrument_prints(path: str) -> None:
    # The sign of a NaN is not kept; that program writes hexadecimal digits in capitals.
    printed = [line.lower().replace("-nan", "nan") for line in lines("reference", path, ".ndjson")]
    assert [as_printed(event).lower() for event in events_of(path)] == printed


def as_printed(event: TelemetryEvent) -> str:
    """The line of the instrument's own program, from our values."""
    second = datetime.fromtimestamp(event.ts_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    msg = table_text(json.loads(event.msg), schema(event).fields or ())
    prio = PRINTED.get(event.prio, event.prio)
    return (
        f'{{"ts": "{second}.{event.ts_ns % 10**9:09}", "prio": "{prio}", "ec": "{event.ec}", "msg": {msg}}}'
    )


def table_text(values: dict[str, Any], fields: tuple[Field, ...]) -> str:
    parts = [f'"{field.name}": {text(values[field.name], field)}' for field in fields if field.name in values]
    return f"{{{','.join(parts)}}}"


def text(value: Any, field: Field) -> str:
    if field.table is not None:
        return table_text(value, field.table)
    if field.vector:
        return f"[{','.join(text(one, field._replace(vector=False)) for one in value)}]"
    if field.type not in LINE_DIGITS:
        return json.dumps(value).replace("\x7f", "\\u007f")
    number = float(SPECIAL.get(value, value))
    if field.type == "float32":
        [number] = struct.unpack("<f", struct.pack("<f", number))
    if not math.isfinite(number):
        return repr(number)
    whole, _, rest = f"{number:.{LINE_DIGITS[field.type]}f}".partition(".")
    return f"{whole}.{rest.rstrip('0') or '0'}"


@pytest.mark.parametrize("path", EXPECTED)
def test_every_expectation_holds(path: str) -> None:
    expected = EXPECTED[path]
    content = (MAGAOX / path).read_bytes()
    decoded = DECODER.decode(piece(content, path=f"/{path}"))
    assert len(content) == expected["bytes"]
    assert len(decoded.records) == expected["records_framed"]
    assert len(events_of(path)) == expected["records_in_reference"]
    assert expected["tail"] == "clean"
    assert (decoded.used, decoded.lost) == (expected["tail_offset"], False)
    for problem in expected["problems"]:  # all of the peer's making
        record = decoded.records[problem["index"]]
        assert isinstance(record, TelemetryEvent)
        assert record.offset == problem["offset"]
        assert int.from_bytes(record.raw[1:3], "little") == problem["ec"]

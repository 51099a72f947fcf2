# SPDX-License-Identifier: MIT
"""What stands in a record is stored as it is, and what is wrong with one costs that one."""

from __future__ import annotations

import json
import math
import random
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tessmon.decode.bintel import BintelDecoder
from tessmon.decode.schemas import INTEGERS, Field, Schemas
from tessmon.errors import Reason
from tessmon.records.outcome import Reject
from tessmon.records.telemetry import TelemetryEvent, digest_of
from tests import flatlogs
from tests.decode.bintel_pieces import (
    DECODER,
    MAX_RECORD_BYTES,
    PATH,
    RECEIVED_NS,
    compared,
    decode,
    event,
    first,
    piece,
    reject,
    rejects,
    spans,
)

DAY_NS = 86_400 * flatlogs.SECOND_NS
CODE = 31337
TELPOS, TELDATA, STDCAM, OBSERVER, STATE, FXNGEN, TELSEE, LOOP_CLOSED = (
    20000,
    20001,
    20260,
    20070,
    20,
    12100,
    20005,
    1001,
)
SOUND = flatlogs.mixed(9)
ALL_TYPES = """
[[event]]
code = 31337
name = "everything"
fields = ["i8: int8 = -3", "u8: ubyte", "i16: short", "u16: uint16", "i32: int", "u32: uint32", "i64: long",
    "u64: uint64", "f32: float = 0.1", "f64: double = -2.5", "flag: bool = true", "text: string", "inner: Inner",
    "i8s: [int8]", "u8s: [uint8]", "i64s: [int64]", "u64s: [ulong]", "f32s: [float32]", "f64s: [float64]",
    "flags: [bool]", "texts: [string]"]
tables.Inner = ["x: float64", "word: string", "deeper: Deeper"]
tables.Deeper = ["y: int16 = 7"]
"""


def decoder_of(tmp_path: Path, text: str) -> BintelDecoder:
    path = tmp_path / "codes.toml"
    path.write_text(text)
    return BintelDecoder(Schemas.load([path]), MAX_RECORD_BYTES)


@pytest.fixture
def everything(tmp_path: Path) -> tuple[BintelDecoder, tuple[Field, ...]]:
    """A decoder that knows a code with fields of all types, and these."""
    decoder = decoder_of(tmp_path, ALL_TYPES)
    [form] = [form for form in Schemas.load([tmp_path / "codes.toml"]) if form.code == CODE]
    assert form.fields is not None
    return decoder, form.fields


def msg(content: bytes, decoder: BintelDecoder = DECODER) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(event(content, decoder).msg)
    return values


def test_every_type_is_read(everything: tuple[BintelDecoder, tuple[Field, ...]]) -> None:
    decoder, fields = everything
    values = {
        "i8": -128, "u8": 255, "i16": -32768, "u16": 65535, "i32": -(2**31), "u32": 2**32 - 1,
        "i64": -(2**63), "u64": 2**64 - 1, "f32": 22.6, "f64": 0.1 + 0.2, "flag": False, "text": "caf\u00e9 \U0001f52d",
        "inner": {"x": 1e-300, "word": "", "deeper": {"y": 8}},
        "i8s": [-1, 127], "u8s": [0, 255], "i64s": [-(2**63), 5], "u64s": [2**64 - 1], "f32s": [0.1, -40.0, 1e30],
        "f64s": [1 / 3, 5e-324], "flags": [True, False, True], "texts": ["a", "", 'quote " and \\ and \n'],
    }  # fmt: skip
    found = msg(flatlogs.framed(CODE, flatlogs.message(fields, values, forced=True)), decoder)
    assert found == values
    assert list(found) == [field.name for field in fields]


def test_what_is_absent_has_its_default_or_no_key(
    everything: tuple[BintelDecoder, tuple[Field, ...]],
) -> None:
    decoder, fields = everything
    defaults = dict.fromkeys(("u8", "i16", "u16", "i32", "u32", "i64", "u64"), 0)
    expected = {"i8": -3, **defaults, "f32": 0.1, "f64": -2.5, "flag": True}
    assert msg(flatlogs.framed(CODE, flatlogs.message(fields, {})), decoder) == expected
    empty = {"text": "", "inner": {"deeper": {}}, "f32s": [], "texts": []}
    assert msg(flatlogs.framed(CODE, flatlogs.message(fields, empty)), decoder) == expected | {
        "text": "",
        "inner": {"x": 0.0, "deeper": {"y": 7}},
        "f32s": [],
        "texts": [],
    }


def test_integers_are_never_rounded(everything: tuple[BintelDecoder, tuple[Field, ...]]) -> None:
    decoder, fields = everything
    for type_, name in (("int64", "i64"), ("uint64", "u64"), ("int32", "i32"), ("uint32", "u32")):
        for value in (*INTEGERS[type_], 2**31 - 3, 1):
            assert msg(flatlogs.framed(CODE, flatlogs.message(fields, {name: value})), decoder)[name] == value


def test_any_byte_but_zero_is_true() -> None:
    content = bytearray(flatlogs.record(OBSERVER, {"observing": True}))
    [at] = [at for at in range(12, len(content)) if content[at] == 1]
    content[at] = 0x80
    assert msg(bytes(content))["observing"] is True


@pytest.mark.parametrize("name", ["f32", "f64", "f32s", "f64s"])
def test_numbers_that_json_lacks_are_strings(
    everything: tuple[BintelDecoder, tuple[Field, ...]], name: str
) -> None:
    decoder, fields = everything
    for value, text in {math.nan: "NaN", math.inf: "Infinity", -math.inf: "-Infinity", -0.0: "-0.0"}.items():
        sent = [1.5, value, -0.05] if name.endswith("s") else value
        stored = msg(flatlogs.framed(CODE, flatlogs.message(fields, {name: sent, "text": "null"})), decoder)
        assert stored[name] == ([1.5, text, -0.05] if name.endswith("s") else text)
        assert stored["text"] == "null"


def test_doubles_come_back_to_the_last_bit() -> None:
    chance = random.Random(4)
    for _ in range(300):
        [value] = struct.unpack("<d", chance.randbytes(8))
        if math.isfinite(value):
            assert msg(flatlogs.record(TELPOS, {"ra": value}))["ra"] == value


def test_trailing_fields_of_later_versions_are_ignored() -> None:
    known = flatlogs.event(STATE).fields
    assert known is not None
    later = (*known, Field("why", "string"), Field("by", "uint16", default=0), Field("list", "float64", True))
    values = {"from": 1, "to": 2, "why": "of a later time", "by": 7, "list": [1.0, 2.0]}
    content = flatlogs.framed(STATE, flatlogs.message(later, values), prio=6)
    assert msg(content) == {"from": 1, "to": 2}
    decoded = decode(SOUND + content + SOUND, last=True)
    assert not rejects(decoded)
    assert len(decoded.records) == 19


def test_records_of_older_versions_get_defaults() -> None:
    known = flatlogs.event(STDCAM).fields
    assert known is not None
    content = flatlogs.framed(STDCAM, flatlogs.message(known[:3], {"mode": "m", "exptime": 0.5}))
    assert msg(content) == {
        "mode": "m", "exptime": 0.5, "fps": 0.0, "emGain": 0.0, "adcSpeed": 0.0, "synchro": 0, "vshift": 0.0,
        "cropMode": -1,
    }  # fmt: skip


def at_day(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * flatlogs.SECOND_NS


FXNGEN_VALUES = {
    "C1outp": 1, "C1freq": 1000.0, "C1vpp": 1.5, "C1ofst": 0.25, "C1phse": 90.0, "C1wvtp": 2, "C2outp": 1,
    "C2freq": 2000.0, "C2vpp": 1.25, "C2ofst": 0.125, "C2phse": 45.0, "C2wvtp": 1, "C1sync": 1, "C2sync": 1,
    "C1wdth": 1e-6, "C2wdth": 2e-6,
}  # fmt: skip


@pytest.mark.parametrize("day", [(2022, 12, 4), (2023, 7, 2), (2022, 12, 3), (2023, 7, 3), (2024, 10, 22)])
def test_the_order_of_fields_is_that_of_its_day(day: tuple[int, int, int]) -> None:
    content = flatlogs.record(FXNGEN, FXNGEN_VALUES, at_day(*day))
    stored = msg(content)
    assert stored == FXNGEN_VALUES
    assert (list(stored)[5] == "C1wdth") is ((2022, 12, 4) <= day < (2023, 7, 3))


@pytest.mark.parametrize("days", [((2023, 1, 1), (2024, 1, 1)), ((2024, 1, 1), (2023, 1, 1))])
def test_the_other_order_of_fields_is_refused_and_not_misread(days: tuple[tuple[int, int, int], ...]) -> None:
    written, read = (at_day(*day) for day in days)
    fields = flatlogs.event(FXNGEN, written).fields
    assert fields is not None
    refused = reject(flatlogs.framed(FXNGEN, flatlogs.message(fields, FXNGEN_VALUES), read))
    assert refused.reason == Reason.DAMAGED
    assert "telem_fxngen: field C" in refused.detail


def test_renamed_fields_have_the_name_of_their_day() -> None:
    for day, names in (
        ((2024, 4, 16), ("dimm_fwhm", "dimm_fwhm_corr")),
        ((2024, 4, 17), ("dimm_fwhm_corr", "dimm_fwhm_bad")),
    ):
        assert tuple(msg(flatlogs.record(TELSEE, {}, at_day(*day))))[2:4] == names


@pytest.mark.parametrize("form", [1, 2, 3])
def test_all_three_ways_to_give_a_length_are_read(form: int) -> None:
    content = flatlogs.record(STATE, {"from": 1, "to": -10}, prio=3, form=form)
    assert len(content) == {1: 12, 2: 14, 3: 20}[form] + 20
    stored = event(content)
    assert (stored.msg, stored.prio, stored.raw) == ('{"from":1,"to":-10}', "ERR", content)
    decoded = decode(SOUND + content + SOUND, last=True)
    assert [type(record) for record in decoded.records] == [TelemetryEvent] * 19


def test_a_record_of_65_kilobytes_is_read() -> None:
    text = "\u00e5" * 33_000
    stored = event(flatlogs.record(10, {"message": text}, prio=6))
    assert json.loads(stored.msg) == {"message": text}
    assert stored.frame.length == len(stored.raw) > 66_000
    assert len(stored.frame.payload) == 65536


def test_an_event_without_message_is_an_empty_object() -> None:
    assert event(flatlogs.record(LOOP_CLOSED, {}, prio=5)).msg == "{}"


@pytest.mark.parametrize(
    "content", [b"a\0b", b"caf\xe9", b"\xf0\x9f\x94", b"\xed\xa0\x80", b"\0", b"x\xff\0"]
)
def test_a_string_that_cannot_be_stored_is_marked_where_it_was_changed(content: bytes) -> None:
    stored = event(flatlogs.record(10, {"message": content}, prio=6))
    assert stored.marked
    text = json.loads(stored.msg)["message"]
    assert "\0" not in text
    text.encode()  # no half of a surrogate pair
    restored, pieces = b"", text.split("\N{REPLACEMENT CHARACTER}")
    restored += pieces[0].encode()
    for part in pieces[1:]:
        restored += bytes([int(part[:2], 16)]) + part[2:].encode()
    assert restored == content


def test_a_string_that_can_be_stored_is_not_marked() -> None:
    text = "\x01\x1f\x7f\ufffd \u2028 \\u0000 \U0010ffff"
    stored = event(flatlogs.record(10, {"message": text}, prio=6))
    assert (json.loads(stored.msg)["message"], stored.marked) == (text, False)


def test_an_event_tells_all_of_its_record() -> None:
    content = flatlogs.record(STATE, {"from": 1}, flatlogs.BEGAN_NS + 7, prio=4)
    [_, stored] = DECODER.decode(piece(content * 2, offset=1000)).records
    assert isinstance(stored, TelemetryEvent)
    assert (stored.offset, stored.ts_ns, stored.ec) == (1032, flatlogs.BEGAN_NS + 7, "state_change")
    assert (stored.prio, stored.subject, stored.received_ns) == ("WARN", "tcsi", RECEIVED_NS)
    assert (stored.digest, stored.raw) == (digest_of(content), content)
    frame = stored.frame
    assert (frame.topic, frame.payload, frame.length) == (PATH, content, 32)
    assert (frame.position, frame.origin) == ((1032,), "exao1/7")


def test_a_priority_that_nobody_knows_is_told_as_the_instrument_tells_it() -> None:
    decoded = decode(SOUND + flatlogs.record(STATE, {"to": 2}, prio=33) + SOUND, last=True)
    stored = decoded.records[9]
    assert isinstance(stored, TelemetryEvent)
    assert (stored.prio, len(rejects(decoded))) == ("UNK?", 0)


# What is wrong with one record


def test_an_unknown_code_is_a_reject_and_is_read_when_its_schema_is_there(tmp_path: Path) -> None:
    fields = (Field("x", "float64"),)
    odd = flatlogs.framed(CODE, flatlogs.message(fields, {"x": 1.5}))
    decoded = decode(SOUND + odd + SOUND + odd)  # live: what comes behind is not waited for
    assert [type(record) for record in decoded.records] == [
        *[TelemetryEvent] * 9, Reject, *[TelemetryEvent] * 9, Reject,
    ]  # fmt: skip
    assert (decoded.used, decoded.lost) == (2 * len(SOUND + odd), False)
    refused = decoded.records[9]
    assert isinstance(refused, Reject)
    assert (refused.reason, refused.frame.payload) == (Reason.UNKNOWN_CODE, odd)
    assert refused.frame.position == (len(SOUND),)
    assert refused.detail == f"{PATH} at byte {len(SOUND)}: nobody knows the event code 31337"
    later = decoder_of(tmp_path, '[[event]]\ncode = 31337\nname = "new"\nfields = ["x: double"]')
    assert event(refused.frame.payload, later).msg == '{"x":1.5}'


@pytest.mark.parametrize("ts_ns", [0, at_day(1999, 12, 31), RECEIVED_NS + DAY_NS + flatlogs.SECOND_NS])
def test_a_time_that_cannot_be_is_a_reject(ts_ns: int) -> None:
    odd = flatlogs.record(STATE, {"to": 2}, ts_ns)
    decoded = decode(SOUND + odd + SOUND)
    [refused] = rejects(decoded)
    assert (refused.reason, refused.frame.payload) == (Reason.IMPLAUSIBLE_TIME, odd)
    assert (len(decoded.records), decoded.used) == (19, len(odd + SOUND + SOUND))
    assert reject(odd).reason is Reason.IMPLAUSIBLE_TIME


def test_the_limits_of_time_are_inside() -> None:
    for ts_ns in (at_day(2000, 1, 1), RECEIVED_NS + DAY_NS):
        assert event(flatlogs.record(STATE, {"to": 2}, ts_ns)).ts_ns == ts_ns


def test_a_second_has_no_thousand_million_nanoseconds() -> None:
    odd = bytearray(flatlogs.record(STATE, {"to": 2}))
    odd[7:11] = struct.pack("<I", 1_000_000_000)
    assert reject(bytes(odd)).reason is Reason.IMPLAUSIBLE_TIME


def test_bad_offsets_cost_their_record() -> None:
    odd = bytearray(flatlogs.record(OBSERVER, {"email": "a@b.c", "obsName": "x", "observing": True}))
    for at in range(12, len(odd) - 4, 4):
        worse = odd[:at] + b"\xff\xff\xff\x7f" + odd[at + 4 :]
        decoded = decode(SOUND + bytes(worse) + SOUND)
        assert [compared(record) for record in decoded.records[:9]] == [
            compared(record) for record in decode(SOUND).records
        ]
        assert len(decoded.records) == 19
        assert all(refused.reason is Reason.DAMAGED for refused in rejects(decoded))
        assert (decoded.used, decoded.lost) == (len(worse) + 2 * len(SOUND), False)


def test_strings_that_share_their_bytes_too_often_are_refused(tmp_path: Path) -> None:
    decoder = decoder_of(tmp_path, '[[event]]\ncode = 31337\nname = "texts"\nfields = ["texts: [string]"]')
    fields = (Field("texts", "string", vector=True),)
    many = bytearray(flatlogs.message(fields, {"texts": [""] * 10_000 + ["x" * 40_000]}))
    at = many.index(struct.pack("<I", 10_001)) + 4
    longest = at + 40_000 + struct.unpack_from("<I", many, at + 40_000)[0]
    for number in range(10_000):
        struct.pack_into("<I", many, at + 4 * number, longest - at - 4 * number)
    refused = reject(flatlogs.framed(CODE, bytes(many)), decoder=decoder)
    assert "share more bytes" in refused.detail


# What is wrong with a file


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("count", [13, 24, 100, 5000])
def test_a_tail_of_zeros_is_one_reject(count: int, last: bool) -> None:
    decoded = decode(SOUND + bytes(count), last=last)
    [refused] = rejects(decoded)
    assert refused.reason is Reason.FRAMING
    assert PATH in refused.detail
    assert f"at byte {len(SOUND)}:" in refused.detail
    assert refused.frame.position == (len(SOUND),)
    assert refused.frame.length == count
    assert (len(decoded.records), decoded.used, decoded.lost) == (10, len(SOUND) + count, True)


@pytest.mark.parametrize("seed", range(40))
def test_a_tail_of_garbage_is_one_reject(seed: int) -> None:
    garbage = random.Random(seed).randbytes(20 + 40 * seed)
    decoded = decode(SOUND + garbage, last=True)
    [refused] = rejects(decoded)
    assert len(decoded.records) == 10
    assert refused.frame.position == (len(SOUND),)
    assert refused.frame.payload == garbage
    assert decoded.lost is (refused.reason is not Reason.CUT)


@pytest.mark.parametrize("length", [MAX_RECORD_BYTES + 4, 1 << 40, (1 << 64) - 1])
def test_an_impossible_length_ends_the_file(length: int) -> None:
    odd = flatlogs.HEADER.pack(64, STATE, flatlogs.BEGAN_NS // flatlogs.SECOND_NS, 0, 255) + struct.pack(
        "<Q", length
    )
    decoded = decode(SOUND + odd + SOUND)
    [refused] = rejects(decoded)
    assert refused.reason is (Reason.TOO_LONG if length % 4 == 0 else Reason.FRAMING)
    assert f"{length} bytes is longer than [files] max_record_bytes" in refused.detail
    assert (len(decoded.records), decoded.lost) == (10, True)
    assert refused.frame.length == len(odd + SOUND)


def test_a_length_that_hides_the_next_record_is_noticed() -> None:
    one, other = flatlogs.record(STATE, {"from": 1, "to": 2}), flatlogs.record(STATE, {"from": 2, "to": 3})
    odd = bytearray(one)
    odd[11] += len(other)
    decoded = decode(SOUND + bytes(odd) + other + SOUND, last=True)
    [refused] = rejects(decoded)
    assert (refused.reason, decoded.lost) == (Reason.FRAMING, True)
    assert refused.frame.position == (len(SOUND),)
    assert "reaches over the beginning of the next one" in refused.detail


def test_what_a_message_holds_too_much_is_no_harm() -> None:
    """A longer message than what stands in it is odd; with a sound record behind it is stored."""
    odd = flatlogs.framed(STATE, flatlogs.record(STATE, {"to": 2})[12:] + bytes(16))
    decoded = decode(SOUND + odd + SOUND)
    assert not rejects(decoded)
    assert len(decoded.records) == 19


def test_a_cut_record_waits_for_its_rest() -> None:
    whole = decode(SOUND)
    for cut in range(len(SOUND)):
        begun = decode(SOUND[:cut])
        assert not rejects(begun)
        rest = DECODER.decode(piece(SOUND[begun.used :], offset=begun.used))
        assert begun.used <= cut
        assert [*map(compared, begun.records + rest.records)] == [*map(compared, whole.records)]


def test_a_cut_record_is_one_reject_when_nothing_more_comes() -> None:
    [*_, (begin, _, end)] = spans(SOUND)
    for cut in range(begin + 1, end):
        decoded = decode(SOUND[:cut], last=True)
        [refused] = rejects(decoded)
        assert (refused.reason, refused.frame.payload) == (Reason.CUT, SOUND[begin:cut])
        assert refused.frame.position == (begin,)
        assert (decoded.used, decoded.lost) == (begin, False), "it is read on if it grows after all"


def test_damage_waits_until_what_follows_shows_the_length() -> None:
    odd = bytearray(flatlogs.record(STATE, {"to": 2}))
    odd[12:16] = b"\xff\xff\xff\xff"
    decoded = decode(SOUND + bytes(odd))
    assert (len(decoded.records), decoded.used) == (9, len(SOUND))
    assert reject(bytes(odd)).reason is Reason.DAMAGED
    assert [refused.reason for refused in rejects(decode(SOUND + bytes(odd) + SOUND))] == [Reason.DAMAGED]


def test_enough_bytes_are_never_answered_with_nothing_used() -> None:
    decoder = BintelDecoder(Schemas.load(), 1024)
    chance = random.Random(11)
    strange = bytearray(flatlogs.record(STATE, {"to": 2}))
    strange[12:16] = b"\xff\xff\xff\xff"
    big = flatlogs.HEADER.pack(64, STATE, flatlogs.BEGAN_NS // flatlogs.SECOND_NS, 0, 254)
    for head in (b"", bytes(strange), SOUND[:100], big + struct.pack("<H", 1024), b"\xff" * 40):
        for _ in range(50):
            content = (head + chance.randbytes(2000))[: decoder.enough_bytes]
            assert decoder.decode(piece(content)).used > 0


def test_a_record_tried_again_alone_gives_the_same() -> None:
    content = first("camwfs_*.bintel", 32)
    for (begin, _, end), record in zip(spans(content), decode(content).records, strict=True):
        [again] = DECODER.decode(piece(content[begin:end], offset=begin, last=True)).records
        assert compared(again) == compared(record)


def test_a_long_or_strange_path_fits_into_the_sentence() -> None:
    odd = flatlogs.framed(CODE, bytes(12))
    for path in ("/x\udcff\n" * 300, "/" + "\u00e9" * 4000):
        [refused] = DECODER.decode(piece(odd, path=path)).records
        assert isinstance(refused, Reject)
        assert len(refused.detail) <= 500
        refused.detail.encode()
        assert "at byte 0: nobody knows the event code 31337" in refused.detail

# SPDX-License-Identifier: MIT
"""Lines of every odd kind: what is taken, what becomes of it, what is refused and how."""

from __future__ import annotations

import gzip
import json
from datetime import UTC
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from tessmon.decode.ndjson import NdjsonDecoder
from tessmon.errors import Reason
from tessmon.records.outcome import Reject
from tessmon.records.telemetry import MAX_REJECT_BYTES, Decoded, Piece, TelemetryEvent, digest_of
from tests.decode.ndjson_lines import (
    FILE,
    MAX_RECORD_BYTES,
    RECEIVED_NS,
    USUAL,
    USUAL_NS,
    decode,
    event_of,
    line_of,
    reject_of,
)
from tests.postgres import Database

DAY_NS = 86_400 * 10**9

KEPT: dict[str, tuple[bytes, str]] = {
    "numbers": (b"[1, -1, 0.1, 1e5, 1E+5, -1.5e-7]", "[1, -1, 0.1, 1e5, 1E+5, -1.5e-7]"),
    "float_digits": (b"[57.54957293284294, 1.0, 1.10, 0.30000000000000004]",) * 2,
    "more_digits_than_a_float_has": (b"[0.1000000000000000055511151231257827, 3.0000000000000000001]",) * 2,
    "uint64": (b"[18446744073709551615, -9223372036854775808]",) * 2,
    "integer_beyond_64_bits": (b"[" + b"9" * 290 + b"]",) * 2,
    "largest_float": (b"[1.7976931348623157e308, 5e-324, 0e-999, 0.0e-400]",) * 2,
    "python_not_finite": (b"[NaN, Infinity, -Infinity]", '["NaN", "Infinity", "-Infinity"]'),
    "printer_not_finite": (b"[nan,-nan,inf,-inf]", '["NaN","NaN","Infinity","-Infinity"]'),
    "negative_zeros": (b"[-0.0, -0, -0.00, -0e5, -0.0E-999]", '["-0.0", "-0.0", "-0.0", "-0.0", "-0.0"]'),
    "nearly_negative_zeros": (b"[-0.5, -0.05, 1e-0, 10-0]".replace(b", 10-0", b""), "[-0.5, -0.05, 1e-0]"),
    "odd_words_in_strings": (b'["NaN", "a nan, inf", "-0.0", "x\\"-0.0", "1e-400"]',) * 2,
    "odd_words_beside_strings": (
        b'["-0.0 \\\\", -0.0, "nan\\"", nan, "2024-01-05"]',
        '["-0.0 \\\\", "-0.0", "nan\\"", "NaN", "2024-01-05"]',
    ),
    "escapes": (b'"\\u00e9 \\ud83d\\ude00 \\\\u0000 \\n \\" \\/"',) * 2,
    "utf8": ('"µ 😀"'.encode(), '"µ 😀"'),
    "empty": (b"{}", "{}"),
    "nested": (b"[" * 98 + b"]" * 98,) * 2,
    "many_lists": (b"[" + b"[[]]," * 500 + b"0]",) * 2,
    "same_key_twice": (b'{"a": 1, "a": 2}',) * 2,
    "blanks": (b'{ "a" :\t1 }',) * 2,
    "long_run_of_digits_in_a_string": (b'"' + b"7" * 400 + b'"',) * 2,
}
"""``msg`` as it is written, with what is stored; in ``{"v": …}``, because it must be an object."""

MARKED: dict[str, tuple[bytes, Any]] = {
    "nul": (b'"a\\u0000b"', "a\ufffd00b"),
    "nul_behind_backslashes": (b'"\\\\\\u0000 \\\\u0000"', "\\\ufffd00 \\u0000"),
    "high_half": (b'"\\ud83d"', "\ufffdD83D"),
    "low_half": (b'"a\\uDE00\\ud83d\\ude00"', "a\ufffdDE00😀"),
    "two_high_halves": (b'"\\ud83d\\ud83d\\ude00"', "\ufffdD83D😀"),
    "bad_utf8": (b'"caf\xe9"', "caf\ufffdE9"),
    "cut_utf8": (b'"\xf0\x9f"', "\ufffdF0\ufffd9F"),
    "half_in_utf8": (b'"\xed\xa0\x80"', "\ufffdED\ufffdA0\ufffd80"),
    "overlong_utf8": (b'"\xc0\x80"', "\ufffdC0\ufffd80"),
    "in_a_key": (b'{"k\\u0000\xff": NaN}', {"k\ufffd00\ufffdFF": "NaN"}),
}

REFUSED: dict[str, tuple[bytes, Reason]] = {
    "text": (b"hello", Reason.NOT_JSON),
    "number": (b"5", Reason.INVALID),
    "list": (b"[1, 2]", Reason.INVALID),
    "null": (b"null", Reason.INVALID),
    "empty_object": (b"{}", Reason.INVALID),
    "garbage": (bytes(range(11, 200)), Reason.NOT_JSON),
    "zeros": (bytes(100), Reason.NOT_JSON),
    "zeros_before": (bytes(10) + USUAL, Reason.NOT_JSON),
    "byte_order_mark": (b"\xef\xbb\xbf" + USUAL, Reason.NOT_JSON),
    "two_on_a_line": (USUAL + USUAL, Reason.NOT_JSON),
    "cut": (USUAL[:-3], Reason.CUT),
    "cut_in_a_number": (line_of(b'{"a": 1.')[:-1], Reason.CUT),
    "cut_at_a_brace": (USUAL[:-1], Reason.CUT),
    "cut_in_an_escape": (line_of(b'{"a": "\\u00')[:-1], Reason.CUT),
    "cut_in_a_nan": (line_of(b'{"a": NaN, "b": Na')[:-1], Reason.CUT),
    "python_repr": (b"{'ts': 1}", Reason.NOT_JSON),
    "no_ts": (line_of(ts=None), Reason.INVALID),
    "no_ec": (line_of(ec=None), Reason.INVALID),
    "no_msg": (b'{"ts": "2024-10-22T05:00:00000", "prio": "TELM", "ec": "e"}', Reason.INVALID),
    "ts_number": (line_of(ts=5), Reason.INVALID),
    "ts_nan": (USUAL.replace(b'"2024-10-22T05:00:00.000007000"', b"NaN"), Reason.BAD_TIME),
    "ts_other": (line_of(ts="yesterday"), Reason.BAD_TIME),
    "ts_marked": (line_of(ts="2024-10-22T05:00:00.00000\0000"), Reason.BAD_TIME),
    "ts_in_1999": (line_of(ts="1999-12-31T23:59:59.999999000"), Reason.IMPLAUSIBLE_TIME),
    "ts_in_9999": (line_of(ts="9999-12-31T23:59:59.999999000"), Reason.IMPLAUSIBLE_TIME),
    "prio_number": (line_of(prio=64), Reason.INVALID),
    "prio_nan": (USUAL.replace(b'"TELM"', b"NaN"), Reason.INVALID),
    "prio_unknown": (line_of(prio="LOUD"), Reason.INVALID),
    "ec_null": (USUAL.replace(b'"telem_indi_set"', b"null"), Reason.INVALID),
    "ec_inf": (USUAL.replace(b'"telem_indi_set"', b"inf"), Reason.INVALID),
    "ec_empty": (line_of(ec=""), Reason.INVALID),
    "ec_nul": (line_of(ec="a\0"), Reason.INVALID),
    "ec_long": (line_of(ec="e" * 256), Reason.INVALID),
    "device_inf": (line_of(device=7).replace(b"7", b"-Infinity", 1), Reason.INVALID),
    "device_number": (line_of(device=7), Reason.INVALID),
    "device_nul": (line_of(device="\0"), Reason.INVALID),
    "msg_number": (line_of(b"5"), Reason.INVALID),
    "msg_zero": (line_of(b"0"), Reason.INVALID),
    "msg_nan": (line_of(b"NaN"), Reason.INVALID),
    "msg_null": (line_of(b"null"), Reason.INVALID),
    "msg_true": (line_of(b"true"), Reason.INVALID),
    "msg_list": (line_of(b"[1]"), Reason.INVALID),
    "msg_too_large": (line_of(b'{"a": 1e999}'), Reason.INVALID),
    "msg_too_large_beside_nan": (line_of(b'{"a": 1e999, "b": NaN}'), Reason.INVALID),
    "msg_too_small": (line_of(b'{"a": 1e-400}'), Reason.INVALID),
    "msg_too_small_and_negative": (line_of(b'{"a": [NaN, -0.001E-400]}'), Reason.INVALID),
    "msg_too_small_in_digits": (line_of(b'{"a": 0.' + b"0" * 330 + b"1}"), Reason.INVALID),
    "msg_huge_integer": (line_of(b'{"a": ' + b"9" * 310 + b"}"), Reason.INVALID),
    "msg_very_huge_integer": (line_of(b'{"a": ' + b"9" * 5000 + b"}"), Reason.INVALID),
    "msg_endless_fraction": (line_of(b'{"a": 0.' + b"3" * 2000 + b"}"), Reason.INVALID),
    "msg_deep": (line_of(b"[" * 102 + b"]" * 102).replace(b"[", b'{"a":[', 1).replace(b"]", b"]}", 1), Reason.NOT_JSON),
    "msg_too_deep": (line_of(b'{"a":' + b"[" * 101 + b"]" * 101 + b"}"), Reason.INVALID),
    "msg_far_too_deep": (line_of(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"), Reason.INVALID),
    "msg_of_too_many_lists": (line_of(b'{"a":[' + b"[]," * 60_000 + b"0]}"), Reason.INVALID),
    "msg_of_too_many_nans": (line_of(b'{"a":[' + b"NaN," * 60_000 + b"0]}"), Reason.INVALID),
    "nan_as_a_key": (line_of(b"{NaN: 1}"), Reason.NOT_JSON),
    "nan_in_a_number": (line_of(b'{"a": 1nan}'), Reason.NOT_JSON),
    "nan_in_a_word": (line_of(b'{"a": nano}'), Reason.NOT_JSON),
    "other_words": (line_of(b'{"a": -NaN}'), Reason.NOT_JSON),
    "plus": (line_of(b'{"a": +inf}'), Reason.NOT_JSON),
    "bad_zero": (line_of(b'{"a": -00}'), Reason.NOT_JSON),
    "zero_without_digits": (line_of(b'{"a": -0.}'), Reason.NOT_JSON),
    "comma": (line_of(b'{"a": 1,}'), Reason.NOT_JSON),
    "control_character": (line_of(b'{"a": "\x01"}'), Reason.NOT_JSON),
    "unknown_escape": (line_of(b'{"a": "\\x"}'), Reason.NOT_JSON),
    "escaped_bad_byte": (line_of(b'{"a": "\\\xff"}'), Reason.NOT_JSON),
    "printer_gave_up": (line_of(b'{"m": "ab}')[:-1], Reason.CUT),
}  # fmt: skip


def in_object(text: bytes) -> bytes:
    return b'{"v": ' + text + b"}"


@pytest.mark.parametrize("name", KEPT)
def test_values_are_kept_as_their_text_says(name: str) -> None:
    written, stored = KEPT[name]
    expected = stored if isinstance(stored, str) else stored.decode()
    event = event_of(line_of(in_object(written)))
    assert event.msg == f'{{"v": {expected}}}'
    assert not event.marked


@pytest.mark.parametrize("name", MARKED)
def test_what_jsonb_refuses_in_strings_is_marked_and_kept(name: str) -> None:
    written, stored = MARKED[name]
    event = event_of(line_of(in_object(written)))
    assert json.loads(event.msg) == {"v": stored}
    assert event.marked
    assert event.raw == line_of(in_object(written))


@pytest.mark.parametrize("name", REFUSED)
def test_a_line_that_is_no_record_costs_itself(name: str) -> None:
    line, reason = REFUSED[name]
    content = USUAL + b"\n" + line + b"\n" + USUAL + b"\n"
    before, reject, behind = decode(content, offset=5000).records
    assert isinstance(reject, Reject)
    assert reject.reason is reason, reject.detail
    at = 5000 + len(USUAL) + 1
    assert reject.detail.startswith(f"{FILE.path} at byte {at}: ")
    assert reject.detail.isascii()
    assert len(reject.detail) <= 500
    assert reject.subject == "maggieo_x"
    frame = reject.frame
    assert (frame.payload, frame.length) == (line[:MAX_REJECT_BYTES], len(line))
    assert (frame.position, frame.origin, frame.topic) == ((at,), FILE.origin, FILE.path)
    assert isinstance(before, TelemetryEvent)
    assert isinstance(behind, TelemetryEvent)
    assert (before.offset, behind.offset) == (5000, at + len(line) + 1)


@pytest.mark.parametrize(
    "name", [name for name, (line, _) in REFUSED.items() if len(line) <= MAX_REJECT_BYTES]
)
def test_a_refused_line_that_is_tried_alone_is_refused_alike(name: str) -> None:
    line, reason = REFUSED[name]
    alone = decode(line, last=True, offset=77)
    assert [record.reason for record in alone.records] == [reason]


def test_the_usual_line_is_an_event() -> None:
    event = event_of(USUAL, offset=12)
    assert event == TelemetryEvent(
        FILE, RECEIVED_NS, 12, USUAL_NS, "telem_indi_set", "TELM", '{"a": 1}', digest_of(USUAL), USUAL, False
    )
    assert event.frame.position == (12,)


def test_a_string_is_a_message_too() -> None:
    assert event_of(line_of(b'"caf\\u00e9"')).msg == '"caf\\u00e9"'


@pytest.mark.parametrize(
    ("printed", "stored"),
    [("ERR ", "ERR"), ("ERR", "ERR"), ("DBG ", "DBG"), ("UNK?", "UNK?"), (None, "")],
)
def test_priorities_are_stored_without_their_blank(printed: str | None, stored: str) -> None:
    assert event_of(line_of(prio=printed)).prio == stored


def test_a_line_may_name_its_device() -> None:
    other, own = event_of(line_of(device="tcsi")), event_of(line_of(device="maggieo_x"))
    assert other.subject == "tcsi"
    assert other.file == msgspec.structs.replace(FILE, device="tcsi")
    assert own.file is FILE


def test_keys_that_nobody_knows_are_left_out() -> None:
    assert event_of(line_of(later={"x": [1]})).msg == '{"a": 1}'


def test_the_last_of_two_equal_keys_holds() -> None:
    assert event_of(USUAL[:-1] + b', "msg": {"a": 2}}').msg == '{"a": 2}'


def test_blank_lines_are_nothing() -> None:
    content = b"\n \t\r\n" + USUAL + b"\n\n\n" + USUAL + b"\r\n"
    assert [(type(record), record.offset) for record in decode(content).records] == [
        (TelemetryEvent, 5),
        (TelemetryEvent, 5 + len(USUAL) + 3),
    ]
    assert decode(b"  ", last=True).records == []
    assert decode(b"") == Decoded([], 0)


def test_a_cut_line_waits_until_nothing_more_will_come() -> None:
    for end in range(len(USUAL)):
        content = USUAL + b"\n" + USUAL[:end]
        waits = decode(content)
        assert ([type(record) for record in waits.records], waits.used) == ([TelemetryEvent], len(USUAL) + 1)
        refused = decode(content, last=True)
        assert [getattr(record, "reason", None) for record in refused.records[1:]] == [Reason.CUT] * (end > 0)
        assert refused.used == len(USUAL) + 1, "read on from there when it grows after all"


def test_a_whole_line_without_its_end_is_a_record_when_nothing_more_will_come() -> None:
    assert decode(USUAL).records == []
    assert decode(USUAL, last=True) == Decoded([event_of(USUAL)], len(USUAL))


def test_a_line_that_is_too_long_is_refused_as_soon_as_that_is_known() -> None:
    limit = len(USUAL)
    assert len(decode(USUAL + b"\n", max_record_bytes=limit).records) == 1
    assert decode(USUAL, max_record_bytes=limit) == Decoded([], 0)
    longer = line_of(b'{"a": 12}')
    for content in (longer, longer + b"\n" + USUAL + b"\n"):
        decoded = decode(content, max_record_bytes=limit)
        assert decoded.records[0].reason is Reason.TOO_LONG
        assert decoded.records[0].frame.length == len(longer)
        assert decoded.used == len(content)


def test_of_a_long_line_the_reject_keeps_the_begin() -> None:
    line = line_of(b'{"a": "' + b"x" * 70_000 + b'", }')
    reject = reject_of(line)
    assert (reject.frame.payload, reject.frame.length) == (line[:MAX_REJECT_BYTES], len(line))


def test_times_before_2000_or_more_than_a_day_ahead_are_implausible() -> None:
    stamps = {
        "2000-01-01T00:00:00000": 946_684_800 * 10**9,
        "2027-01-16T08:00:00.000000000": RECEIVED_NS + DAY_NS,
    }
    for stamp, ns in stamps.items():
        assert event_of(line_of(ts=stamp)).ts_ns == ns
    for stamp in ("1999-12-31T23:59:59.999999999", "2027-01-16T08:00:00.000000001"):
        assert reject_of(line_of(ts=stamp)).reason is Reason.IMPLAUSIBLE_TIME


def test_stamps_are_local_time() -> None:
    assert event_of(USUAL, timezone=ZoneInfo("America/Santiago")).ts_ns == USUAL_NS + 3 * 3600 * 10**9


def test_a_path_that_is_no_text_is_shown_in_full_sentences() -> None:
    file = msgspec.structs.replace(FILE, path="/telem/caf\udce9\n_2024.ndjson" + "x" * 5000)
    [reject] = NdjsonDecoder(UTC, MAX_RECORD_BYTES).decode(Piece(file, RECEIVED_NS, 0, b"x\n")).records
    assert reject.detail.isprintable()
    assert "at byte 0: the line is no JSON" in reject.detail


def test_the_same_line_packed_later_has_the_same_key() -> None:
    text = USUAL + b"\n" + line_of(b'{"b": NaN}') + b"\n"
    plain, packed = (
        NdjsonDecoder(UTC, MAX_RECORD_BYTES).decode(Piece(file, RECEIVED_NS, 0, content)).records
        for file, content in (
            (FILE, text),
            (
                msgspec.structs.replace(FILE, kind="ndjson.gz", origin="exao1/8", file_id=8),
                gzip.decompress(gzip.compress(text)),
            ),
        )
    )
    assert [(e.subject, e.ts_ns, e.ec, e.digest, e.offset) for e in plain] == [
        (e.subject, e.ts_ns, e.ec, e.digest, e.offset) for e in packed
    ]


def exactly(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def test_postgresql_takes_all_of_it_value_for_value(database: Database) -> None:
    for name, (written, _) in {**KEPT, **MARKED}.items():
        msg = event_of(line_of(in_object(written))).msg
        [(stored,)] = database.fetch("SELECT %s::jsonb::text", [msg])
        assert exactly(stored) == exactly(msg), name


def test_what_is_no_finite_number_reads_back_as_one(database: Database) -> None:
    msg = event_of(line_of(b'{"a": NaN, "b": -Infinity, "c": -0.0, "d": inf}')).msg
    sql = "SELECT (value #>> '{}')::float8::text FROM jsonb_each(%s::jsonb) ORDER BY key"
    assert database.fetch(sql, [msg]) == [("NaN",), ("-Infinity",), ("-0",), ("Infinity",)]

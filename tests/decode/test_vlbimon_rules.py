# SPDX-License-Identifier: MIT
"""What a point, contact, poll and sweep must be, and what becomes of those that are not."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from twisted.logger import LogEvent, globalLogPublisher

from tessmon.decode.vlbimon import MAX_FRAME_BYTES, MAX_KEPT_BYTES, VlbimonDecoder
from tessmon.errors import Cause, Reason
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import Filtered, Record, Reject, Several, SourceEvent, Tick
from tessmon.records.vlbimon import HISTORY, POLL, SNAPSHOT, SWEPT, Contact, Point, Poll, Swept
from tests.vlbimon_frames import RECEIVED_NS, frame_of

RECEIVED_S = RECEIVED_NS / 1e9


def records(text: str, what: str = SNAPSHOT, **exchange: Any) -> list[Record]:
    frame = frame_of(what, text, **exchange)
    several = VlbimonDecoder().decode(frame)
    assert isinstance(several, Several)
    assert several.frame is frame
    return list(several.records)


def only(pair: str, **exchange: Any) -> Any:
    """What becomes of one pair."""
    [record] = records(f'{{"KP":{{"data":{{"weather_tau225":{pair}}}}}}}', **exchange)
    assert record.subject == "KP"
    return record


@pytest.fixture
def lines() -> Any:
    """What was logged as a warning."""
    found: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event["log_level"].name == "warn":
            found.append(event)

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.05", 0.05), ("5", 5), ("-0.0", -0.0), ("1.5e-05", 1.5e-5), ("true", True), ("false", False), ('""', ""),
     ('"n\\u00e9v\\u00e9 \\u2744"', "névé ❄"), ('"\\ud83d\\ude00"', "😀"), ('"line 1\\nline 2"', "line 1\nline 2"),
     ("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63)), ("1e400", math.inf),
     ("Infinity", math.inf), ("-Infinity", -math.inf), ("0.1234567890123456789", 0.1234567890123456789),
     ('"True"', "True"), ('" "', " ")],
)  # fmt: skip
def test_value_is_kept_as_it_is(text: str, value: Any) -> None:
    point = only(f"[1712345600,{text}]")
    assert isinstance(point, Point)
    assert (type(point.value), point.value) == (type(value), value)
    assert math.copysign(1, point.value) == math.copysign(1, value) if isinstance(value, float) else True
    assert (point.parameter, point.station, point.stamp) == ("weather_tau225", "KP", 1712345600)
    assert not point.marked
    assert not point.derived


def test_nan_is_a_value() -> None:
    assert math.isnan(only("[1712345600,NaN]").value)


@pytest.mark.parametrize(
    ("text", "value"),
    [('"a\\u0000b"', "a�b"), ('"\\ud800"', "�"), ('"\\udc00\\ud800x"', "��x"), ('"a\0b"', "a�b"), ('"\udcff"', "�")],
)  # fmt: skip
def test_what_no_database_takes_is_marked_in_text(text: str, value: str, lines: list[LogEvent]) -> None:
    point = only(f"[1712345600,{text}]")
    assert (point.value, point.marked) == (value, True)
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("pair", "reason"),
    [("[1712345600,null]", Reason.NULL_VALUE), ("[1712345600,[1,2]]", Reason.LIST_VALUE),
     ("[1712345600,[]]", Reason.LIST_VALUE), ("[1712345600,{}]", Reason.OBJECT_VALUE),
     ("[1712345600," + "[" * 20_000 + "]" * 20_000 + "]", Reason.LIST_VALUE),
     ("[1712345600," + '{"a":' * 10_000 + "1" + "}" * 10_000 + "]", Reason.OBJECT_VALUE),
     ("[" * 20_000 + "]" * 20_000, Reason.BAD_PAIR),
     ("[1712345600,9223372036854775808]", Reason.OVER_64_BITS),
     ("[1712345600,-9223372036854775809]", Reason.OVER_64_BITS),
     ("[1712345600," + "9" * 5000 + "]", Reason.OVER_64_BITS),
     ("[1712345600," + "-" + "9" * 60_000 + "]", Reason.OVER_64_BITS),
     ("[1712345600]", Reason.BAD_PAIR), ("[]", Reason.BAD_PAIR), ("[1712345600,1,2]", Reason.BAD_PAIR),
     ("null", Reason.BAD_PAIR), ("5", Reason.BAD_PAIR), ('"text"', Reason.BAD_PAIR), ("{}", Reason.BAD_PAIR),
     ("[null,1]", Reason.BAD_TIME), ("[true,1]", Reason.BAD_TIME), ('["1712345600",1]', Reason.BAD_TIME),
     ("[NaN,1]", Reason.BAD_TIME), ("[Infinity,1]", Reason.BAD_TIME), ("[1e400,1]", Reason.BAD_TIME),
     ("[[1712345600],1]", Reason.BAD_TIME), ("[{},1]", Reason.BAD_TIME),
     ("[946684799,1]", Reason.IMPLAUSIBLE_TIME), ("[0,1]", Reason.IMPLAUSIBLE_TIME),
     ("[-1712345600,1]", Reason.IMPLAUSIBLE_TIME), ("[2000000000,1]", Reason.IMPLAUSIBLE_TIME),
     ("[1712432091,1]", Reason.IMPLAUSIBLE_TIME), ("[" + "9" * 5000 + ",1]", Reason.IMPLAUSIBLE_TIME)],
    ids=lambda value: value[:24] if isinstance(value, str) else None,
)  # fmt: skip
def test_pair_that_is_no_point_is_rejected_with_its_reason(pair: str, reason: Reason) -> None:
    reject = only(pair)
    assert isinstance(reject, Reject)
    assert reject.reason == reason
    assert reject.detail.isascii()
    assert 0 < len(reject.detail) <= 500


@pytest.mark.parametrize(
    ("stamp", "time_s", "ahead"),
    [("946684801", 946_684_801, False), ("1712345600.75", 1_712_345_600, False), ("1712345600e0", 1_712_345_600, False),
     ("1712346290", 1_712_346_290, False), ("1712346291", 1_712_346_291, True), ("1712432090.5", 1_712_432_090, True)],
)  # fmt: skip
def test_stamp_up_to_a_day_ahead_is_kept(stamp: str, time_s: int, ahead: bool) -> None:
    point = only(f"[{stamp},1]")
    assert (point.stamp, point.time_s, point.ahead) == (json.loads(stamp), time_s, ahead)


@pytest.mark.parametrize("pair", ["[946684800,1]", "[946684800.0,1]", "[946684800,null]"])
def test_placeholder_is_filtered_everywhere(pair: str) -> None:
    assert only(pair).cause is Cause.PLACEHOLDER
    [record] = records(f'{{"KP":{{"p":[{pair}]}}}}', HISTORY, start_s=946_684_700, end_s=946_684_900)
    assert isinstance(record, Filtered)
    assert (record.cause, record.subject) == (Cause.PLACEHOLDER, "KP")


def test_points_before_the_window_that_was_asked_for_are_filtered() -> None:
    text = '{"KP":{"p":[[1712340000,1],[1712340000,null],[100,1],[1712345600,2],[1712349999,3]]}}'
    found = records(text, HISTORY, start_s=1_712_345_600, end_s=1_712_349_200)
    causes = [record.cause for record in found[:3] if isinstance(record, Filtered)]
    assert causes == [Cause.BEFORE_WINDOW] * 3
    assert [point.value for point in found[3:] if isinstance(point, Point)] == [2, 3]
    assert all(isinstance(record, Point) for record in records('{"KP":{"p":[[1712340000,1]]}}', HISTORY))


@pytest.mark.parametrize("name", ["", "x" * 201, "a\0b", "a\nb", "\x7f", "\ud800"])
def test_name_that_is_none_is_rejected(name: str) -> None:
    written = json.dumps(name)
    [reject] = records(f'{{"KP":{{"data":{{{written}:[1712345600,1]}}}}}}')
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.subject) == (Reason.BAD_NAME, "KP")
    [reject] = records(f'{{{written}:{{"data":{{"p":[1712345600,1]}}}}}}')
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.subject) == (Reason.BAD_NAME, "")


def test_names_are_any_short_text() -> None:
    text = '{"Ü b":{"data":{"DROP TABLE; --":[1712345600,1],"%s":[1712345600,2]}}}' % ("x" * 200)
    assert [(point.station, point.parameter) for point in records(text) if isinstance(point, Point)] == [
        ("Ü b", "DROP TABLE; --"),
        ("Ü b", "x" * 200),
    ]


def test_one_bad_point_costs_one_point() -> None:
    pairs = {"a": [1712345600, 1], "b": [1712345600, [1]], "c": None, "d": [None, 1], "e": [1712345600, 5]}
    found = records(json.dumps({"KP": {"data": pairs}, "APEX": 7, "SMA": {"data": {"a": [1712345600, 9]}}}))
    assert [type(record) for record in found] == [Point, Reject, Reject, Reject, Point, Reject, Point]


def test_rejects_stand_behind_their_frame_and_replay_alone() -> None:
    frame = frame_of(
        SNAPSHOT,
        '{"KP":{"data":{"a":[1712345600,1],"b":[1712345600,  [1.50]],"c":[946684800,1]},"clients":{"x":7}},"A":7}',
        position=(7, 8, 9),
    )
    decoder = VlbimonDecoder()
    several = decoder.decode(frame)
    assert isinstance(several, Several)
    assert [record.frame.position for record in several.records] == [(7, 8, 9, n) for n in (1, 2, 3, 4, 5)]
    assert several.records[1].frame.payload == b'{"KP":{"data":{"b":[1712345600,  [1.50]]}}}'
    for record in several.records:
        alone = record.frame
        assert (7, 8, 9) < alone.position < (7, 8, 10)
        assert (alone.topic, alone.received_ns, alone.length) == (
            frame.topic,
            RECEIVED_NS,
            len(alone.payload),
        )
        again = decoder.decode(alone)
        assert isinstance(again, Several)
        assert list(again.records) == [record]


def test_clients_become_contacts() -> None:
    clients = {
        "APEX central": {"recvTime": 1712345600.5, "version": "1.2 ü"},
        "127.0.0.1": {"recvTime": 1712345601},
        "odd version": {"recvTime": 1712345601, "version": 7},
        "nul": {"recvTime": 1712345601, "version": "a\0"},
        "placeholder": {"recvTime": 946684800},
        "never": {},
        "none": {"recvTime": None, "version": "1"},
        "ahead": {"recvTime": 2_000_000_000},
        "list": [1],
    }
    found = records(json.dumps({"APEX": {"clients": clients, "data": {}}}))
    contacts = [record for record in found if isinstance(record, Contact)]
    assert [(contact.station, contact.client, contact.at, contact.version) for contact in contacts] == [
        ("APEX", "APEX central", 1712345600.5, "1.2 ü"),
        ("APEX", "127.0.0.1", 1712345601, None),
        ("APEX", "odd version", 1712345601, "7"),
        ("APEX", "nul", 1712345601, "a�"),
    ]
    rest = [record for record in found if isinstance(record, (Reject, Filtered))]
    assert [getattr(record, "reason", None) or record.cause for record in rest] == [
        Cause.PLACEHOLDER, Reason.BAD_TIME, Reason.BAD_TIME, Reason.IMPLAUSIBLE_TIME, Reason.INVALID,
    ]  # fmt: skip
    assert {record.subject for record in rest} == {""}, "a station is accounted for its points only"


def test_what_is_odd_in_a_station_is_rejected_and_what_is_new_there_is_counted() -> None:
    found = records(
        '{"A":7,"B":{"data":[1]},"C":{"clients":"x"},"D":{"logs":{"x":1}},"E":null,"F":{"data":null}}'
    )
    assert [getattr(record, "reason", None) or record.cause for record in found] == [
        Reason.INVALID, Reason.INVALID, Reason.INVALID, Cause.UNKNOWN_PART,
    ]  # fmt: skip
    assert [record.subject for record in found] == [""] * 4
    found = records('{"A":7,"B":{"data":7,"x":{},"y":[7]},"C":{"z":null}}', HISTORY)
    assert [record.reason for record in found] == [Reason.INVALID] * 3 + [Reason.BAD_PAIR]


def test_vexfiles_are_passed_over() -> None:
    assert records('{"vexfiles":{"data":{"a":[1712345600,1]}},"KP":{}}') == []


@pytest.mark.parametrize("text", ["", "<html>", "[]", '{"KP":{"data":{"a":[1712345600,1]}', "{} x"])
def test_reply_that_is_none_is_one_reject(text: str, lines: list[LogEvent]) -> None:
    for what in (SNAPSHOT, HISTORY):
        frame = frame_of(what, text)
        record = VlbimonDecoder().decode(frame)
        assert isinstance(record, Reject)
        assert record.frame is frame
        assert record.reason is Reason.NOT_JSON
    assert [line["what"] for line in lines if line["reason"] is Reason.NOT_JSON] == ["a reply", "a reply"]


def test_frame_that_is_too_long_is_a_reject_that_is_cut() -> None:
    long = json.dumps({"KP": {"data": {"a": [1712345600, "x" * MAX_FRAME_BYTES]}}})
    wide = json.dumps({"KP": {"data": {"a": [1712345600, [[1]] * 90_000]}}})
    for text in (long, wide):
        frame = frame_of(SNAPSHOT, text, position=(1, 2, 3))
        several = VlbimonDecoder().decode(frame)
        assert isinstance(several, Several)
        [reject] = several.records
        assert isinstance(reject, Reject)
        if text is long:
            assert reject.reason is Reason.TOO_LONG
        kept = reject.frame
        assert (len(kept.payload), kept.position) == (MAX_KEPT_BYTES, (1, 2, 3, 1))
        assert kept.length >= MAX_KEPT_BYTES
        again = VlbimonDecoder().decode(kept)
        assert isinstance(again, Reject)
        assert again.reason is Reason.TOO_LONG


def test_long_text_is_stored() -> None:
    text = "line é\n" * 60_000
    point = only(json.dumps([1712345600, text], ensure_ascii=False))
    assert point.value == text
    assert len(point.frame.payload) == MAX_KEPT_BYTES
    assert point.frame.length > 400_000


def test_polls_and_sweeps_say_what_their_exchange_says() -> None:
    decoder = VlbimonDecoder()
    poll = decoder.decode(frame_of(POLL, took_s=1.5, status=503, error="busy", counts={"KP": 3}))
    assert isinstance(poll, Poll)
    assert (poll.exchange.took_s, poll.exchange.error, poll.exchange.counts) == (1.5, "busy", {"KP": 3})
    swept = decoder.decode(frame_of(SWEPT, swept_s=1_712_345_000))
    assert isinstance(swept, Swept)
    assert swept.swept_s == 1_712_345_000
    for odd in (None, 0, -5, 946_684_800, 10**12, 10**30):
        assert isinstance(decoder.decode(frame_of(SWEPT, swept_s=odd)), Reject)


@pytest.mark.parametrize(
    "topic", ["", "x", "[]", "{}", '{"what":"other"}', '{"what":7}', '{"what":"poll","took_s":"x"}']
)
def test_frame_of_no_exchange_is_rejected(topic: str) -> None:
    frame = Frame(FrameKind.MESSAGE, RECEIVED_NS, topic, b"{}", 2)
    record = VlbimonDecoder().decode(frame)
    assert isinstance(record, Reject)
    assert record.reason is Reason.UNKNOWN_TOPIC


def test_events_and_ticks_are_those_of_every_source() -> None:
    decoder = VlbimonDecoder()
    event = decoder.decode(Frame(FrameKind.EVENT, RECEIVED_NS, "connected", b'{"server":"x"}', 14))
    assert isinstance(event, SourceEvent)
    assert (event.what, event.detail) == ("connected", '{"server":"x"}')
    assert isinstance(decoder.decode(Frame(FrameKind.TICK, RECEIVED_NS, "", b"", 0)), Tick)


def test_log_has_one_line_for_each_parameter_and_reason(lines: list[LogEvent]) -> None:
    decoder = VlbimonDecoder()
    text = json.dumps({s: {"data": {"a": [1712345600, None], "b": [None, 1]}} for s in ("KP", "APEX", "SMA")})
    for _ in range(3):
        decoder.decode(frame_of(SNAPSHOT, text))
    assert [(line["what"], line["reason"]) for line in lines] == [
        ("'a' of 'KP'", Reason.NULL_VALUE),
        ("'b' of 'KP'", Reason.BAD_TIME),
    ]
    decoder.decode(frame_of(SNAPSHOT, '{"KP":{"data":{"a":[1712345600,{}]}}}'))
    assert len(lines) == 3

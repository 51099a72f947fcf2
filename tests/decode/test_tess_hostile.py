# SPDX-License-Identifier: MIT
"""Whatever bytes come, the decoder gives one record, soon, and one that the database takes."""

from __future__ import annotations

import json
import math
import time
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessmon.config.model import Mqtt, Photometer
from tessmon.decode.tess import TessDecoder
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import Reject
from tessmon.records.photometer import Reading, Registration
from tests import scale
from tests.fuzz import REGISTER_TOPIC, mutated_payloads

RECEIVED_NS = 1_772_409_600_000_000_000  # 2026-03-02T00:00:00Z
CPU_LIMIT_S = 0.050
MAX_PAYLOAD_BYTES = Mqtt().max_payload_bytes
LARGEST_PAYLOAD_BYTES = 1024 * 1024
"""What the configuration allows at most."""


def frame_of(topic: str, payload: bytes, max_bytes: int = MAX_PAYLOAD_BYTES) -> Frame:
    return Frame(FrameKind.MESSAGE, RECEIVED_NS, topic, payload[:max_bytes], len(payload))


def check(decoder: TessDecoder, frame: Frame) -> str:
    """Decode a frame, look at what came, and give its outcome."""
    began = time.thread_time()
    record = decoder.decode(frame)
    used_s = time.thread_time() - began
    assert used_s < CPU_LIMIT_S, (used_s, frame.payload[:200])
    assert record.frame is frame
    if isinstance(record, Reading):
        check_reading(record)
    elif isinstance(record, Registration):
        check_registration(record)
    else:
        assert isinstance(record, Reject)
        check_text(record.detail, 500)
        check_text(record.subject, 1000)
        assert record.detail.isascii()
        assert not record.detail.startswith("the decoder stumbled"), record
        return record.reason
    return type(record).__name__


def check_text(text: str, max_characters: int) -> None:
    text.encode("utf-8")
    assert "\0" not in text
    assert len(text) <= max_characters


def check_time(at_s: int) -> None:
    assert 946_684_800 <= at_s <= RECEIVED_NS // 1_000_000_000 + 86_400


def check_reading(reading: Reading) -> None:
    check_text(reading.name, 1000)
    check_text(reading.hash or "", 255)
    check_time(reading.at_s)
    for number in (reading.sequence_number, reading.signal_strength_dbm):
        assert type(number) is int
    assert -(2**63) <= reading.sequence_number < 2**63
    assert -(2**31) <= reading.signal_strength_dbm < 2**31
    assert len(reading.frequencies_hz) == len(reading.magnitudes) in (1, 4)
    pointing = (reading.azimuth_deg, reading.altitude_deg)
    place = (reading.longitude_deg, reading.latitude_deg, reading.elevation_m)
    sent = [number for number in pointing + place if number is not None]
    temperatures = (reading.box_temperature_degc, reading.sky_temperature_degc)
    for number in (*reading.frequencies_hz, *reading.magnitudes, *temperatures, *sent):
        assert type(number) is float
        assert math.isfinite(number)


def check_registration(registration: Registration) -> None:
    check_text(registration.name, 1000)
    check_text(registration.mac, 255)
    check_text(registration.firmware or "", 513)
    check_time(registration.at_s)
    assert len(registration.channels) == (4 if registration.model == "TESS4C" else 1)
    for channel in registration.channels:
        check_text(channel.band, 255)
        assert math.isfinite(channel.zero_point_mag)
        assert math.isfinite(channel.offset_hz)


def test_mutated_payloads_give_a_record_each() -> None:
    decoder = TessDecoder(Mqtt(), Photometer())
    outcomes = Counter(
        check(decoder, frame_of(topic, payload))
        for topic, payload in mutated_payloads(20_261_123, scale.FUZZED_PAYLOADS)
    )
    print(f"{scale.FUZZED_PAYLOADS} fuzzed payloads: {dict(outcomes)}")
    every = {"Reading", "Registration", "not_json", "invalid", "no_name", "bad_time", "implausible_time"}
    every |= {"too_long", "unknown_topic", "bad_mac"}
    assert set(outcomes) == every
    assert outcomes["Reading"] > scale.FUZZED_PAYLOADS // 50, "a mutator that spoils everything tests little"


FIELDS = (
    "seq name freq mag tamb tsky wdBm hash tstamp az mac calib offsethz firmware date filter1 F1 F2 F3 F4"
)
KEYS = st.sampled_from(FIELDS.split()) | st.text(max_size=5)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS,
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(["freq", "mag", "band", "calib"]) | st.text(max_size=3), below, max_size=4
        )
    ),
    max_leaves=8,
)
VALID = {
    "seq": 1,
    "name": "stars10",
    "freq": 1.5,
    "mag": 18.5,
    "tamb": 1.5,
    "tsky": 0.5,
    "mac": "1:2:3:4:5:6",
    "calib": 20,
}
TEXTUAL = st.dictionaries(KEYS, VALUES, max_size=4).map(
    lambda changed: json.dumps(VALID | changed).encode("utf-8", "surrogatepass")
)
PAYLOADS = TEXTUAL | VALUES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200)
TOPICS = st.sampled_from([REGISTER_TOPIC, "STARS4ALL/stars10/reading"])


@settings(max_examples=scale.HYPOTHESIS_PAYLOADS)
@given(topic=TOPICS, payload=PAYLOADS)
def test_any_payload_gives_a_record(topic: str, payload: bytes) -> None:
    check(TessDecoder(Mqtt(), Photometer()), frame_of(topic, payload))


@settings(max_examples=scale.HYPOTHESIS_PAYLOADS)
@given(topic=st.text(st.characters(), max_size=40))
def test_any_topic_gives_a_record(topic: str) -> None:
    check(TessDecoder(Mqtt(), Photometer()), frame_of(topic, b"{}"))


def filled(pattern: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """As long a payload as is decoded at all."""
    room = LARGEST_PAYLOAD_BYTES - len(before) - len(after)
    return before + pattern * (room // len(pattern)) + after


@pytest.mark.parametrize(
    "payload",
    [
        filled(b"["),
        filled(b'{"F4":'),
        filled(b"9"),
        filled(b"-"),
        filled(b"- "),
        filled(b" ", b"-", b"x"),
        filled(b"0,", b'{"name":"x","seq":[', b"0]}"),
        filled(b"[],", b'{"name":"x","seq":[', b"0]}"),
        filled(b"[],", b'{"name":[', b"-,0]}"),
        filled(b"{},", b'{"name":[', b"0]}"),
        filled(b"\\u00e9", b'{"name":"', b'"}'),
        filled(b"\\ud83c\\udf0c", b'{"name":"', b'"}'),
        filled(b"9", b'{"name":"x","seq":1,"freq":"', b'"}'),
        filled(b"9", b'{"name":"x","seq":1,"freq":0.', b"}"),
        filled(b"9", b'{"name":"x","seq":1,"freq":1e', b"}"),
        filled(b"9" * 4000 + b",", b'{"name":["x",', b"0]}"),
        filled(b"1:", b'{"name":"x","calib":20,"mac":"', b'"}'),
        filled(b"9", b'{"name":"x","tstamp":"2026-03-01T22:15:00.', b'","calib":1,"mac":"a"}'),
        filled(b'"a":1,', b"{", b'"name":"x"}'),
        b"".join([b"{", *(b'"%x":1,' % number for number in range(80_000)), b'"name":"x"}']),
    ],
    ids=lambda payload: repr(payload[:24]),
)
@pytest.mark.parametrize("topic", [REGISTER_TOPIC, "STARS4ALL/stars10/reading"])
def test_costly_payload_is_refused_in_time(topic: str, payload: bytes) -> None:
    decoder = TessDecoder(Mqtt(max_payload_bytes=LARGEST_PAYLOAD_BYTES), Photometer())
    outcome = check(decoder, frame_of(topic, payload, LARGEST_PAYLOAD_BYTES))
    assert outcome in ("not_json", "invalid", "bad_time")


def test_a_plain_reading_is_read_as_if_it_were_looked_at_in_peace() -> None:
    """The same payload with an escape in a member that nobody reads takes the long way."""
    decoder = TessDecoder(Mqtt(), Photometer())
    compared = 0
    for topic, payload in mutated_payloads(5, scale.FUZZED_PAYLOADS):
        if not payload.rstrip().endswith(b"}") or len(payload) < 3:
            continue
        end = payload.rindex(b"}")
        longer = payload[:end] + b',"~":"\\\\"' + payload[end:]
        short, long = (decoder.decode(frame_of(topic, each)) for each in (payload, longer))
        assert type(short) is type(long), payload
        if isinstance(short, Reading) and isinstance(long, Reading):
            fields = [field for field in Reading.__struct_fields__ if field != "frame"]
            assert [getattr(short, field) for field in fields] == [getattr(long, field) for field in fields]
            compared += 1
    assert compared > scale.FUZZED_PAYLOADS / 20


def test_memory_of_topics_is_bounded() -> None:
    """Names made up take no more memory than some thousand of them."""
    decoder = TessDecoder(Mqtt(), Photometer())
    tracemalloc.start()
    try:
        for number in range(20_000):
            record = decoder.decode(frame_of(f"STARS4ALL/{number:0200}/reading", b"{}"))
            assert isinstance(record, Reject)
        record = decoder.decode(frame_of(f"STARS4ALL/{'x' * 60_000}/reading", b"{}"))
        del record
        kept_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept_bytes < 3_000_000

# SPDX-License-Identifier: MIT
"""The simulated network is the same for the same seed, and its ledger tells what was sent."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise, takewhile
from typing import Any

import pytest

from tessmon.demo.photometers import Kind, Message
from tessmon.demo.publisher import Ledger
from tessmon.demo.simulator import DENIED_NAME, Simulator
from tessmon.demo.sky import DAY_S, brightness_mag, frequency_hz

BEGIN_S = 1_800_000_000


def sent(seconds: float, seed: int = 1) -> list[Message]:
    return list(takewhile(lambda message: message.at_s < seconds, Simulator(seed, BEGIN_S).messages()))


def contents(messages: list[Message], kind: Kind) -> list[dict[str, Any]]:
    return [json.loads(message.payload) for message in messages if message.kind == kind]


def of(messages: list[Message], name: str) -> list[dict[str, Any]]:
    return [
        one
        for kind in Kind
        if kind != Kind.NONSENSE
        for one in contents(messages, kind)
        if one["name"] == name
    ]


def test_equal_seeds_give_equal_messages_and_others_do_not() -> None:
    assert sent(30) == sent(30)
    assert [message.payload for message in sent(30)] != [message.payload for message in sent(30, seed=2)]


def test_messages_come_in_order_of_time() -> None:
    times = [message.at_s for message in sent(60)]
    assert times == sorted(times)


def test_ledger_counts_each_kind_for_a_seed() -> None:
    ledger = Ledger()
    for message in [*Simulator(1, BEGIN_S).retained(), *sent(30)]:
        ledger.note(message)
    assert ledger.sent == sum(ledger.by_qos.values()) == 4 + len(sent(30))
    assert ledger.kinds[Kind.RETAINED] == 4
    assert ledger.kinds[Kind.NONSENSE] == 29
    # 18 ordinary ones, the TESS4C, the late one, the gateway: 3 each; the rebooting one boots at 0, 9, 18 and 27 s
    assert ledger.kinds[Kind.REGISTRATION] == 3 * 21 + 3 * 4
    # 285 readings of the gateway, a tenth of a second apart from 1.5 s on: each 12th twice, each 30th contradicted
    assert ledger.kinds[Kind.REPEATED] == 285 // 12
    assert ledger.kinds[Kind.CONTRADICTED] == 285 // 30
    assert ledger.kinds[Kind.EARLY] == len([at for at in (1.5, 3.7, 5.9) if at < 6])


def test_each_device_registers_three_times_after_its_boot_with_an_unpadded_mac() -> None:
    registrations = contents(sent(5), Kind.REGISTRATION)
    counted = Counter(one["name"] for one in registrations)
    assert counted["stars201"] == counted["stars231"] == 3
    assert {one["mac"] for one in registrations if one["name"] == "stars202"} == {"18:FE:34:C0:0:1"}


def test_readings_without_stamp_are_more_than_a_second_apart() -> None:
    """They get the second of their arrival, and two in one second would contradict each other."""
    times: dict[str, list[float]] = {}
    for message in sent(60):
        if message.kind == Kind.READING and b"tstamp" not in message.payload:
            times.setdefault(message.topic, []).append(message.at_s)
    gaps = [after - before for stamps in times.values() for before, after in pairwise(stamps)]
    assert len(times) == 21
    assert min(gaps) > 2


def test_some_publish_as_the_firmware_does_at_qos_0_with_the_retain_flag() -> None:
    readings = [message for message in sent(20) if message.kind == Kind.READING]
    shipped = [message for message in readings if message.retain]
    assert len({message.topic for message in shipped}) == 4
    assert {message.qos for message in shipped} == {0}
    assert {message.qos for message in readings if not message.retain} == {1}


def test_rebooting_device_starts_counting_again_and_changes_its_zero_point_once() -> None:
    messages = of(sent(30), "stars232")
    zero_points = [one["calib"] for one in messages if "calib" in one]
    assert len(zero_points) == 12
    assert zero_points[0] == zero_points[2] != zero_points[3] == zero_points[-1]
    counts = [one["seq"] for one in messages if "seq" in one]
    assert sum(after < before for before, after in pairwise(counts)) == 3


def test_late_device_publishes_before_it_registers() -> None:
    early = [message for message in sent(20) if message.kind == Kind.EARLY]
    name = json.loads(early[0].payload)["name"]
    registered = [m.at_s for m in sent(20) if m.topic.endswith("register") and name.encode() in m.payload]
    assert early[-1].at_s < registered[0]


def test_gateway_stamps_rise_and_never_reach_the_future() -> None:
    simulator = Simulator(1, BEGIN_S)
    gateway = simulator.devices()[21]
    gateway.backlog_s = 600  # type: ignore[attr-defined]
    messages = takewhile(lambda message: message.at_s < 300, gateway.messages())
    stamps = [
        (message.at_s, datetime.fromisoformat(json.loads(message.payload)["tstamp"]))
        for message in messages
        if message.kind == Kind.READING
    ]
    assert stamps[0][1] == datetime.fromtimestamp(BEGIN_S - 600, UTC)
    assert all(stamp.timestamp() <= BEGIN_S + at_s for at_s, stamp in stamps)
    assert stamps[-1][1].timestamp() > BEGIN_S
    assert len({stamp for _, stamp in stamps}) == len(stamps)


def test_a_repeated_reading_is_equal_and_a_contradicted_one_is_not() -> None:
    messages = sent(30)
    readings = {one["tstamp"]: one for one in contents(messages, Kind.READING) if "tstamp" in one}
    assert all(readings[one["tstamp"]] == one for one in contents(messages, Kind.REPEATED))
    assert all(readings[one["tstamp"]] != one for one in contents(messages, Kind.CONTRADICTED))


def test_all_that_the_denied_photometer_says_counts_as_denied() -> None:
    messages = sent(20)
    names = {one["name"] for one in contents(messages, Kind.DENIED)}
    assert names == {DENIED_NAME}
    assert not [one for one in contents(messages, Kind.READING) if one["name"] == DENIED_NAME]


@pytest.mark.parametrize("place", [0.0, 0.15])
def test_sky_has_saturated_days_and_dark_nights(place: float) -> None:
    from random import Random

    values = [brightness_mag(step * DAY_S / 100, place, Random(step)) for step in range(100)]
    assert 20 < sum(value == 0 for value in values) < 60
    assert max(values) > 20.5
    assert frequency_hz(20.0, 20.0) == 1.0
    assert frequency_hz(0, 20.0) == 0

# SPDX-License-Identifier: MIT
"""Stamps of Python devices: local time in several spellings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessmon.decode.local_stamps import LocalStamps
from tessmon.decode.refusal import Refusal
from tessmon.errors import Reason

SANTIAGO = ZoneInfo("America/Santiago")
"""Clocks are put back at the end of 6 April 2024 (24:00 becomes 23:00), forward at that of 7 September."""


@pytest.mark.parametrize(
    ("stamp", "ns"),
    [
        ("2024-10-22T05:00:00.000007000", 1_729_573_200_000_007_000),
        ("2024-10-22T05:00:00.123456789", 1_729_573_200_123_456_789),
        ("2024-10-22T05:00:59.999999999", 1_729_573_259_999_999_999),
        ("2024-10-22T05:00:59000", 1_729_573_259_000_000_000),
        ("2024-10-22T05:00:59", 1_729_573_259_000_000_000),
        ("2024-10-22T05:00:59.5", 1_729_573_259_500_000_000),
        ("2024-10-22T05:00:59.123456", 1_729_573_259_123_456_000),
    ],
)
def test_stamps_with_and_without_fraction_are_read(stamp: str, ns: int) -> None:
    assert LocalStamps(UTC).parse(stamp) == ns


@pytest.mark.parametrize(
    "stamp",
    [
        "",
        "now",
        "2024-10-22",
        "2024-10-22T05:00",
        "2024-10-22 05:00:00.000007000",
        "2024-10-22T05:00:60.000007000",
        "2024-10-22T05:00:59.",
        "2024-10-22T05:00:59.1234567890",
        "2024-10-22T05:00:590000",
        "2024-10-22T05:00:59.000007000Z",
        "2024-10-22T05:00:59.00007000Z",
        "2024-10-22T05:00:59.000007+00",
        "2024-10-22T05:00:٥٩.000007000",
        "2024-10-22T05:00:²9.000007000",
        "２０２４-10-22T05:00:59.000007000",
        "2024-02-30T05:00:59.000007000",
        "2024-10-22T25:00:59.000007000",
        "2024-10-22T05:61:59.000007000",
        "0000-10-22T05:00:59.000007000",
        "2024-10-22T05:00:+9.000007000",
        "2024-10-22T05:00: 9.000007000",
        "2024-10-22T05:00:59_000007000",
        "2024-10-22T05:00:59.00007_000",
    ],
)
def test_other_spellings_are_refused(stamp: str) -> None:
    with pytest.raises(Refusal) as refused:
        LocalStamps(UTC).parse(stamp)
    assert refused.value.reason is Reason.BAD_TIME
    assert "ts:" in refused.value.detail


def test_the_ends_of_the_calendar_are_times_or_refused() -> None:
    assert LocalStamps(UTC).parse("0001-01-01T00:00:00.000000000") == -62_135_596_800 * 10**9
    assert LocalStamps(SANTIAGO).parse("0001-01-01T00:00:00.000000000") < 0
    for zone, stamp in (
        ("Asia/Tokyo", "0001-01-01T00:00:00000"),
        ("America/Santiago", "9999-12-31T23:59:59"),
    ):
        with pytest.raises(Refusal, match="ts:"):
            LocalStamps(ZoneInfo(zone)).parse(stamp)


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
    st.booleans(),
)
def test_every_moment_is_read_as_its_device_wrote_it(moment: datetime, in_utc: bool) -> None:
    zone = UTC if in_utc else SANTIAGO
    local = moment.astimezone(zone)
    stamp = local.replace(tzinfo=None).isoformat() + "000"
    first = local.replace(fold=0).astimezone(UTC)
    micros = (first - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert LocalStamps(zone).parse(stamp) == micros * 1000


def test_an_hour_that_comes_twice_is_the_first_one() -> None:
    stamps = LocalStamps(SANTIAGO)
    before = stamps.parse("2024-04-06T22:59:59.000000000")
    twice = stamps.parse("2024-04-06T23:00:00.000000000")
    behind = stamps.parse("2024-04-07T00:00:00.000000000")
    assert (twice - before, behind - twice) == (10**9, 7200 * 10**9)
    assert behind == 1_712_462_400 * 10**9


def test_a_time_that_clocks_left_out_is_refused() -> None:
    stamps = LocalStamps(SANTIAGO)
    assert stamps.parse("2024-09-07T23:59:59.000000000") + 10**9 == stamps.parse(
        "2024-09-08T01:00:00.000000000"
    )
    with pytest.raises(Refusal, match=r"no 2024-09-08T00:30 in America/Santiago") as refused:
        stamps.parse("2024-09-08T00:30:00.000000000")
    assert refused.value.reason is Reason.BAD_TIME

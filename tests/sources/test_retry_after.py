# SPDX-License-Identifier: MIT
"""How long a server wants to be left alone."""

from __future__ import annotations

import pytest

from tessmon.sources.retry_after import LONGEST_S, retry_after_s

NOW_S = 1_712_345_600.0  # Fri, 05 Apr 2024 19:33:20 GMT


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("86400", LONGEST_S),
        ("9" * 5000, LONGEST_S),
        ("Fri, 05 Apr 2024 19:34:20 GMT", 60.0),
        ("Friday, 05-Apr-24 19:34:20 GMT", 60.0),
        ("Fri, 05 Apr 2024 19:30:00 GMT", 0.0),
        ("Fri, 05 Apr 2124 19:30:00 GMT", LONGEST_S),
        (None, None),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("soon", None),
        ("Fri, 05 Apr 99999 19:30:00 GMT", None),
    ],
)
def test_seconds_and_dates_are_understood(header: str | None, expected: float | None) -> None:
    assert retry_after_s(header, None, NOW_S) == expected


def test_a_date_is_of_the_servers_own_clock() -> None:
    date, until = "Fri, 05 Apr 2019 19:33:20 GMT", "Fri, 05 Apr 2019 19:34:20 GMT"
    assert retry_after_s(until, date, NOW_S) == 60.0
    assert retry_after_s(until, "nonsense", NOW_S) == 0.0

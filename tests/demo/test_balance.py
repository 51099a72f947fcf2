# SPDX-License-Identifier: MIT
"""The demo's verdict: every message once, and the tables say what the tallies say."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from tessmon.demo.balance import differences, summary
from tessmon.demo.figures import Counts
from tessmon.demo.photometers import Kind, Message
from tessmon.demo.publisher import Ledger

COUNTS = Counts(
    readings=5,
    registrations=Counter(new=1, rebooted=2),
    duplicates=1,
    filtered=Counter(denied=2),
    rejected=Counter(not_json=3),
    rows=5,
    reject_rows=3,
    due=0,
)


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    for number in range(14):
        ledger.note(Message(0.0, Kind.READING, "topic", b"", qos=number % 2))
    return ledger


def test_what_adds_up_has_no_difference(ledger: Ledger) -> None:
    assert differences(ledger, COUNTS, received=14) == []


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"readings": 4, "rows": 4}, "14 messages were sent and 13 are accounted for"),
        ({"readings": 6, "rows": 6}, "14 messages were sent and 15 are accounted for"),
        ({"rows": 4}, "the tallies say 5 readings, the tables have 4 rows"),
        ({"reject_rows": 4}, "the tallies say 3 rejects, the table has 4"),
    ],
)
def test_each_difference_is_a_sentence(ledger: Ledger, changed: dict[str, int], sentence: str) -> None:
    assert differences(ledger, replace(COUNTS, **changed)) == [sentence]


def test_loss_on_the_way_to_the_service_is_told_apart(ledger: Ledger) -> None:
    counts = replace(COUNTS, readings=4, rows=4)
    assert "1 messages never reached the service (7 were sent at QoS 0" in differences(ledger, counts, 13)[1]


def test_summary_names_every_cause(ledger: Ledger) -> None:
    text = "\n".join(summary(ledger, COUNTS))
    for words in (
        "14 messages sent",
        "(rebooted 2, new 1)",
        "(denied 2)",
        "(not_json 3)",
        "14 accounted for",
    ):
        assert words in text

# SPDX-License-Identifier: MIT
"""The lists of allowed and denied photometers."""

from __future__ import annotations

import pytest

from tessmon.config.model import Photometer
from tessmon.errors import Cause, Reason
from tessmon.records.frame import Frame, FrameKind
from tessmon.records.outcome import Filtered, Reject, Tick
from tessmon.records.photometer import Channel, Reading, Registration
from tessmon.stages.admit import Admit

FRAME = Frame(FrameKind.MESSAGE, 1, "t", b"{}", 2)


def reading(name: str) -> Reading:
    return Reading(FRAME, name, 1, False, 1, (1.0,), (1.0,), 1.0, 1.0, 1)


def registration(name: str) -> Registration:
    return Registration(FRAME, name, "AA:BB:CC:DD:EE:01", 1, "TESS-W", (Channel(20.0),))


@pytest.mark.parametrize(
    ("allow", "deny", "admitted"),
    [
        ((), (), {"stars1", "stars2", "stars3"}),
        (("stars1", "stars2"), (), {"stars1", "stars2"}),
        ((), ("stars1",), {"stars2", "stars3"}),
        (("stars1", "stars2"), ("stars1",), {"stars2"}),
    ],
)
def test_lists_decide_who_passes_and_only_listed_names_are_accounted_to(
    allow: tuple[str, ...], deny: tuple[str, ...], admitted: set[str]
) -> None:
    admit = Admit(Photometer(allow=allow, deny=deny))
    for name in ("stars1", "stars2", "stars3"):
        for record in (reading(name), registration(name)):
            shut_out = Filtered(FRAME, Cause.DENIED, name if name in deny else "")
            expected = record if name in admitted else shut_out
            assert list(admit.take(record)) == [expected]


def test_all_other_records_pass() -> None:
    admit = Admit(Photometer(allow=("stars1",), deny=("stars2",)))
    for record in (Tick(FRAME), Filtered(FRAME, Cause.RETAINED), Reject(FRAME, Reason.INVALID, "", "stars2")):
        assert list(admit.take(record)) == [record]

# SPDX-License-Identifier: MIT
"""The five cases of a registration, and what makes none of them."""

from __future__ import annotations

import pytest

from tessmon.errors import Cause, Reason
from tessmon.records.frame import Frame
from tessmon.records.photometer import Channel, Registration
from tessmon.sink.photometers import Association, Version
from tessmon.sink.registration import Known, Outcome, decide

MAC, OTHER_MAC = "AA:BB:CC:DD:EE:01", "AA:BB:CC:DD:EE:02"
FAR_S = 32_503_679_999.0
SINCE_S = 1000.0
NOW_S = 2000
FRAME = Frame(0, NOW_S * 10**9, "STARS4ALL/register", b"{}", 2)
NOBODY = Known(None, None, None, None)


def registration(*channels: Channel, name: str = "stars1", mac: str = MAC, at_s: int = NOW_S) -> Registration:
    model = "TESS-W" if len(channels) < 2 else "TESS4C"
    return Registration(FRAME, name, mac, at_s, model, channels or (Channel(20.25),))  # type: ignore[arg-type]


def association(name: str = "stars1", mac: str = MAC) -> Association:
    return Association(name, mac, SINCE_S, FAR_S, True)


def version(mac: str = MAC, *channels: Channel) -> Version:
    model = "TESS-W" if len(channels) < 2 else "TESS4C"
    return Version(mac, 1, SINCE_S, FAR_S, True, 5, 7, True, model, "1.0", channels or (Channel(20.25),))


KNOWN_PAIR = Known(association(), association(), version(), None)


def test_an_unknown_pair_is_new() -> None:
    decision = decide(registration(), NOBODY, 10)
    assert decision.outcome is Outcome.NEW
    assert (decision.expire, decision.associate, decision.new_version) == ((), True, True)
    assert decision.inherit is None


def test_a_known_photometer_under_an_unknown_name_is_renamed_and_keeps_its_version() -> None:
    known = Known(association("stars0"), None, version(), None)
    decision = decide(registration(), known, 10)
    assert decision.outcome is Outcome.RENAMED
    assert decision.expire == (association("stars0"),)
    assert decision.associate
    assert not decision.new_version


def test_an_unknown_photometer_under_a_known_name_replaces_and_inherits_the_place() -> None:
    old = version(OTHER_MAC)
    known = Known(None, association(mac=OTHER_MAC), None, old)
    decision = decide(registration(), known, 10)
    assert decision.outcome is Outcome.REPLACED
    assert decision.expire == (association(mac=OTHER_MAC),)
    assert decision.new_version
    assert decision.expire_version is None
    assert decision.inherit is old


def test_a_photometer_that_lost_its_name_never_gets_a_second_current_row() -> None:
    known = Known(None, None, version(), None)
    decision = decide(registration(), known, 10)
    assert decision.outcome is Outcome.NEW
    assert decision.associate
    assert not decision.new_version


def test_two_known_ones_that_are_no_pair_override() -> None:
    known = Known(association("stars0"), association(mac=OTHER_MAC), version(), version(OTHER_MAC))
    decision = decide(registration(Channel(20.5)), known, 10)
    assert decision.outcome is Outcome.OVERRIDDEN
    assert decision.expire == (association("stars0"), association(mac=OTHER_MAC))
    assert decision.expire_version == version()
    assert decision.inherit == version()


@pytest.mark.parametrize(
    ("channel", "changed"),
    [
        (Channel(20.25), False),
        (Channel(20.2549), False),
        (Channel(20.255), True),
        (Channel(20.245), True),
        (Channel(20.25, offset_hz=0.0009), False),
        (Channel(20.25, offset_hz=0.001), True),
        (Channel(20.25, band="RGB-R"), True),
    ],
)
def test_a_version_begins_where_a_managed_attribute_differs(channel: Channel, changed: bool) -> None:
    decision = decide(registration(channel), KNOWN_PAIR, 10)
    assert decision.outcome is (Outcome.CHANGED if changed else Outcome.REBOOTED)
    assert decision.new_version is changed
    assert not decision.associate


@pytest.mark.parametrize("channel_number", [0, 1, 2, 3])
def test_each_of_four_channels_counts(channel_number: int) -> None:
    bands = tuple(Channel(20.0, band) for band in ("UVIR750", "UVIR650", "RGB-R", "RGB-B"))
    known = KNOWN_PAIR._replace(version=version(MAC, *bands))
    assert decide(registration(*bands), known, 10).outcome is Outcome.REBOOTED
    other = list(bands)
    other[channel_number] = Channel(20.01, bands[channel_number].band)
    assert decide(registration(*other), known, 10).outcome is Outcome.CHANGED


def test_an_absurd_zero_point_of_a_known_pair_is_a_reboot_with_a_warning() -> None:
    decision = decide(registration(Channel(2.0)), KNOWN_PAIR, 10)
    assert decision.outcome is Outcome.REBOOTED
    assert not decision.changes
    assert "below 10" in decision.detail


@pytest.mark.parametrize("known", [NOBODY, Known(association("stars0"), None, version(), None)])
def test_an_absurd_zero_point_of_any_other_is_rejected(known: Known) -> None:
    decision = decide(registration(Channel(9.99)), known, 10)
    assert decision.refusal is Reason.ZERO_POINT
    assert decision.outcome is None


def test_what_is_older_than_the_current_row_changes_nothing() -> None:
    late = registration(Channel(20.6), at_s=int(SINCE_S) - 1)
    decision = decide(late, KNOWN_PAIR, 10)
    assert decision.refusal is Cause.STALE
    assert not decision.changes
    assert decide(registration(Channel(20.6), at_s=int(SINCE_S)), KNOWN_PAIR, 10).changes


def test_an_old_registration_of_a_known_pair_that_changes_nothing_is_a_reboot() -> None:
    assert decide(registration(at_s=1), KNOWN_PAIR, 10).outcome is Outcome.REBOOTED


def test_an_older_registration_renames_when_an_operator_only_opened_a_version_since() -> None:
    located = version()._replace(since_s=float(NOW_S + 1))
    known = Known(association("stars0"), None, located, None)
    assert decide(registration(), known, 10).outcome is Outcome.RENAMED
    assert decide(registration(Channel(20.6)), known, 10).refusal is Cause.STALE

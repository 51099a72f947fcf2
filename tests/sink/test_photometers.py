# SPDX-License-Identifier: MIT
"""Whose reading it is."""

from __future__ import annotations

import gc
import time
from itertools import pairwise

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import LoopingCall, deferLater

from tessmon.database.connection import Connector
from tessmon.sink.photometers import Association, Photometers, Version, hash_fits, nearest_version
from tests.postgres import Database

FAR_S = 32_503_679_999.0
DAY_S = 86_400.0
A, B = "AA:AA:AA:AA:AA:01", "BB:BB:BB:BB:BB:02"


def knowing(*associations: Association) -> Photometers:
    photometers = Photometers()
    photometers._associations["stars1"] = associations
    return photometers


def held(mac: str, since_s: float, until_s: float = FAR_S) -> Association:
    return Association("stars1", mac, since_s, until_s, until_s == FAR_S)


@pytest.mark.parametrize(
    ("associations", "at_s", "holder"),
    [
        ((), 100, None),
        ((held(A, 100),), 100, A),
        ((held(A, 100),), 10**9, A),
        ((held(A, 100),), 99, A),  # taken before anybody had the name: the first that got it
        ((held(A, 100, 200),), 200, None),  # lost, and nobody has it
        ((held(A, 100, 200), held(B, 200)), 199, A),
        ((held(A, 100, 200), held(B, 200)), 200, B),
        ((held(A, 100, 200), held(B, 300)), 250, None),  # never to the next owner
        ((held(A, 100, 200), held(A, 300)), 250, A),  # the same got it back
        ((held(A, 100, 200), held(B, 200, 300), held(A, 400)), 350, None),
        ((held(A, 100, 200), held(B, 200)), 50, A),
    ],
)
def test_a_reading_belongs_to_who_had_the_name_at_its_time(
    associations: tuple[Association, ...], at_s: float, holder: str | None
) -> None:
    assert knowing(*associations).holder("stars1", at_s, at_s, DAY_S) == holder


def test_a_reading_that_came_too_long_before_the_registration_stays_unregistered() -> None:
    photometers = knowing(held(A, 200_000))
    assert photometers.holder("stars1", 1000, 200_000 - DAY_S, DAY_S) == A
    assert photometers.holder("stars1", 1000, 200_000 - DAY_S - 1, DAY_S) is None


def version(tess_id: int, since_s: float, until_s: float) -> Version:
    return Version(A, tess_id, since_s, until_s, until_s == FAR_S, -1, -1, False, "TESS-W", "", ())


@pytest.mark.parametrize(("at_s", "tess_id"), [(50, 1), (100, 1), (199, 1), (200, 2), (10**9, 2)])
def test_a_reading_takes_the_version_valid_at_its_time_else_the_nearest(at_s: float, tess_id: int) -> None:
    versions = (version(1, 100, 200), version(2, 200, FAR_S))
    assert nearest_version(versions, at_s).tess_id == tess_id


def test_in_a_hole_between_versions_the_nearer_one_counts() -> None:
    versions = (version(1, 100, 200), version(2, 300, FAR_S))
    assert nearest_version(versions, 220).tess_id == 1
    assert nearest_version(versions, 280).tess_id == 2


@pytest.mark.parametrize(
    ("tail", "fits"), [(None, True), ("A01", True), ("a01", True), ("A:01", True), ("A02", False), ("", True)]
)
def test_a_hash_is_the_end_of_the_mac_without_regard_to_case(tail: str | None, fits: bool) -> None:
    assert hash_fits("AA:AA:AA:AA:AA:01".replace("AA:01", "0A:01"), tail) is fits


@pytest_twisted.ensureDeferred
async def test_thousands_of_photometers_are_learned_without_holding_the_reactor(database: Database) -> None:
    photometers = 10_000
    database.execute(
        "INSERT INTO tess_t (mac_address, valid_since, valid_until, valid_state, model, firmware, registered, "
        "nchannels, zp1, filter1) SELECT 'mac ' || n / 2, '2026-01-01Z', '2999-12-31Z', "
        "CASE n %% 2 WHEN 0 THEN 'Expired' ELSE 'Current' END, 'TESS-W', '1', 'Manual', 1, 20.25, 'UV/IR-740' "
        "FROM generate_series(0, %s) n",
        [2 * photometers - 1],
    )
    database.execute(
        "INSERT INTO name_to_mac_t (name, mac_address, valid_since, valid_until, valid_state) "
        "SELECT 'stars' || n, 'mac ' || n, '2026-01-01Z', '2999-12-31Z', 'Current' FROM generate_series(0, %s) n",
        [photometers - 1],
    )
    turns: list[float] = []
    beat = LoopingCall(lambda: turns.append(time.thread_time()))
    connection = await Connector(database.settings, reactor).connect()
    gc.collect()
    gc.freeze()  # as the service does when it starts: what the tests have in memory is not what is measured
    try:
        beat.start(0)
        known = Photometers()
        await known.learn(connection, {f"stars{n}" for n in range(photometers)})
        await deferLater(reactor, 0)
    finally:
        beat.stop()
        gc.unfreeze()
        connection.close()
    assert all(len(known.versions(f"mac {n}")) == 2 for n in range(photometers))
    longest_s = max(after - before for before, after in pairwise(turns))
    assert longest_s < 0.05, f"{1000 * longest_s:.0f} ms of CPU time in one turn of the reactor"

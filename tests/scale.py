# SPDX-License-Identifier: MIT
"""Counts and durations of the violent tests, in two columns: the short run and ``scripts/test --full``."""

from __future__ import annotations

import os

FULL = os.environ.get("TESSMON_TEST_SCALE") == "full"


def _scaled(short: int, full: int) -> int:
    return full if FULL else short


#                                       short    full
FUZZED_PAYLOADS = _scaled(              5_000, 100_000)  # fmt: skip
HYPOTHESIS_PAYLOADS = _scaled(            200,   2_000)  # fmt: skip
KILLS = _scaled(                            4,      20)  # fmt: skip
KILL_MESSAGES = _scaled(                4_000,  20_000)  # fmt: skip
KILL_RATE_HZ = 1000
DATABASE_FREEZE_S = _scaled(                5,      60)  # fmt: skip
FROZEN_COMMIT_TRIES = _scaled(              1,       2)  # fmt: skip
BACKENDS_TERMINATED = _scaled(              4,      12)  # fmt: skip
PAUSED_MESSAGES = _scaled(             20_000, 1_000_000)  # fmt: skip
MANY_PHOTOMETERS = _scaled(               500,     5_000)  # fmt: skip
MADE_UP_NAMES = _scaled(                2_000,    60_000)  # fmt: skip
SOAK_S = _scaled(                          30,     1_800)  # fmt: skip
SLOW_DISK_S = _scaled(                    2,      60)  # fmt: skip
CLOCK_ROUNDS = _scaled(                   1,       8)  # fmt: skip
BROKER_TROUBLE_S = _scaled(               0,      60)  # fmt: skip
PARTITION_S = _scaled(                    0,       5)  # fmt: skip
RELOADS = _scaled(                        300,   3_000)  # fmt: skip
MAINTAINED_MESSAGES = _scaled(          2_000,  60_000)  # fmt: skip
TREE_FILES = _scaled(                   5_000, 100_000)  # fmt: skip
MUTATED_LINES = _scaled(                2_000, 100_000)  # fmt: skip
MUTATED_FILES = _scaled(                2_000, 100_000)  # fmt: skip
FOLLOWED_KILLS = _scaled(                   4,      50)  # fmt: skip
FOLLOWED_DEVICES = _scaled(                20,     200)  # fmt: skip
FOLLOWED_S = _scaled(                       5,     120)  # fmt: skip
VLBIMON_RUN_S = _scaled(                  120,   1_200)  # fmt: skip
VLBIMON_SPEED = _scaled(                   30,      20)  # fmt: skip
VLBIMON_AWAY_S = _scaled(                  30,     300)  # fmt: skip
VLBIMON_PAUSED_S = _scaled(                60,     600)  # fmt: skip
LARGE_SNAPSHOT_POINTS = _scaled(     40_000, 200_000)  # fmt: skip

# SPDX-License-Identifier: MIT
"""A float32 is shown with as few digits as give it back."""

from __future__ import annotations

import math
import random
import struct

import pytest

from tessmon.decode.float32 import nearest_float32, shortest_float32
from tests import scale

FLOAT32 = struct.Struct("<f")


def of_bits(bits: int) -> float:
    value: float = FLOAT32.unpack(bits.to_bytes(4, "little"))[0]
    return value


def digits(value: float) -> int:
    return len(repr(value).partition("e")[0].replace("-", "").replace(".", "").strip("0"))


def shortest_by_trial(value: float) -> int:
    """The fewest digits that give a float32 back."""
    return next(count for count in range(1, 10) if nearest_float32(float(f"{value:.{count}g}")) == value)


def test_any_float32_comes_back_from_the_fewest_digits() -> None:
    chance = random.Random(7)
    for number in range(scale.FUZZED_PAYLOADS):
        bits = chance.getrandbits(32)
        if number % 2:  # half of them of a size that instruments measure
            bits = bits & 0x807FFFFF | chance.randint(127 - 30, 127 + 25) << 23
        value = of_bits(bits)
        short = shortest_float32(value)
        if not math.isfinite(value):
            assert repr(short) == repr(value)
            continue
        assert FLOAT32.pack(short) == FLOAT32.pack(value), bits
        assert digits(short) <= max(shortest_by_trial(value), 1), bits


@pytest.mark.parametrize(
    "text",
    ["0.0", "-0.0", "22.6", "-40.0", "0.1", "0.00049874", "0.00098", "600.0", "1e-45", "3.4028235e+38",
     "1.1754944e-38", "16777216.0", "8388608.0", "8388607.5", "0.0009765625", "1e+30", "59.5", "1e-07"],
)  # fmt: skip
def test_what_was_meant_is_what_is_shown(text: str) -> None:
    assert repr(shortest_float32(nearest_float32(float(text)))) == text


def test_what_is_too_large_is_infinite() -> None:
    assert nearest_float32(1e39) == math.inf
    assert nearest_float32(-1e39) == -math.inf

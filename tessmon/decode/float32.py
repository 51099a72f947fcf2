# SPDX-License-Identifier: MIT
"""The float64 with the shortest text that gives the same float32.

A float32 reaches us as the float64 of the same value, and the text of that shows up to nine digits too many. What is
short is found by arithmetic: among decimals with K digits behind the point there is always one within half a unit in
the last place when their step is not larger than that unit, so only one and two digits fewer need be tried. With two
fewer, the step is at least ten units, so any still shorter decimal is among those candidates too. A whole number below
2^53 divided by an exact power of ten gives the float64 nearest to that decimal, whose text is the decimal.
"""

from __future__ import annotations

from math import copysign, frexp, inf
from struct import Struct
from typing import NamedTuple

_FLOAT32 = Struct("<f")
_ROUNDING = 1.5 * 2.0**52
"""Added to a float64 below 2^51 and taken away again, it rounds that to a whole number."""
_SURELY = 1 - 1e-6
"""Of half a unit: nearer than this, rounding errors of the arithmetic don't matter."""
_MANTISSA_BITS = 24
_ALL_WHOLE = 2.0**_MANTISSA_BITS
"""From here on every float32 is a whole number."""
_SMALLEST_EXPONENT = -48
"""Of ``frexp``: numbers below 2^-49 would need powers of ten that are not exact."""
_MOST_DIGITS = 9


class _Binade(NamedTuple):
    """Float32 numbers between two powers of two: powers of ten with two and with one digit fewer than always suffice,
    the one that always suffices, and what lies surely within half a unit in the last place."""

    fewest: float
    fewer: float
    enough: float
    near: float


def _binade(exponent: int) -> _Binade:
    unit = 2.0 ** (exponent - _MANTISSA_BITS)
    digits = 0
    while 10.0**-digits > unit:
        digits += 1
    return _Binade(10.0 ** (digits - 2), 10.0 ** (digits - 1), 10.0**digits, unit / 2 * _SURELY)


_BINADES = {exponent: _binade(exponent) for exponent in range(_SMALLEST_EXPONENT, _MANTISSA_BITS + 1)}


def shortest_float32(value: float) -> float:
    """The number with the fewest digits that is the same float32, the nearest one of these.

    Args:
        value: a float32, as the float64 of the same value; NaN and infinities come back as they are.
    """
    if value.is_integer() and -_ALL_WHOLE < value < _ALL_WHOLE:
        return value
    mantissa, exponent = frexp(value)
    binade = _BINADES.get(exponent)
    if binade is None:
        return _by_trial(value)
    fewest, fewer, enough, near = binade
    short = (value * fewest + _ROUNDING - _ROUNDING) / fewest
    if short == value:
        return short
    if mantissa in (0.5, -0.5):  # below a power of two, units are half as large
        return _by_trial(value)
    if -near < short - value < near:
        return short
    short = (value * fewer + _ROUNDING - _ROUNDING) / fewer
    if -near < short - value < near:
        return short
    return (value * enough + _ROUNDING - _ROUNDING) / enough


def nearest_float32(value: float) -> float:
    """A float64 as a float32; beyond the largest one, infinity."""
    try:
        nearest: float = _FLOAT32.unpack(_FLOAT32.pack(value))[0]
    except OverflowError:
        return copysign(inf, value)
    return nearest


def _by_trial(value: float) -> float:
    """Any value, slowly: the fewest digits that come back as they were."""
    if value - value:  # NaN for what is not finite
        return value
    for digits in range(1, _MOST_DIGITS):
        short = float(f"{value:.{digits}g}")
        if nearest_float32(short) == value:
            return short
    return float(f"{value:.{_MOST_DIGITS}g}")

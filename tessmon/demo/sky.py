# SPDX-License-Identifier: MIT
"""A sky that grows dark and bright within a minute."""

from __future__ import annotations

import math
import random

DAY_S = 60.0
"""A simulated day takes this long [s]."""

DARKEST_MAG = 21.3
_TWILIGHT_MAG = 9.0
_DAYLIGHT_BELOW = -0.3
_DARK_ABOVE = 0.4
_NOISE_MAG = 0.04


def brightness_mag(at_s: float, place: float, chance: random.Random) -> float:
    """Sky brightness [mag/arcsec²], 0 while daylight saturates the sensor.

    Args:
        at_s: time of the demo [s], which begins at nightfall.
        place: how far west the photometer stands, in days (0–1).
        chance: where its noise comes from.
    """
    darkness = math.sin(2 * math.pi * (at_s / DAY_S + 0.05 - place))
    if darkness < _DAYLIGHT_BELOW:
        return 0.0
    depth = min(1.0, (darkness - _DAYLIGHT_BELOW) / (_DARK_ABOVE - _DAYLIGHT_BELOW))
    return _TWILIGHT_MAG + (DARKEST_MAG - _TWILIGHT_MAG) * math.sqrt(depth) + chance.gauss(0, _NOISE_MAG)


def frequency_hz(brightness: float, zero_point: float) -> float:
    """What a sensor with this zero point counts [Hz]; both in mag/arcsec².

    Source: the photometers' formula, brightness = zero point - 2.5 log10(frequency).
    """
    return 0.0 if brightness == 0 else 10 ** ((zero_point - brightness) / 2.5)

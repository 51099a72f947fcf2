# SPDX-License-Identifier: MIT
"""A transform is one small file: the manual's is whole."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from tessmon.decode.vlbimon import VlbimonDecoder
from tessmon.interfaces import IStage
from tessmon.records.outcome import Several
from tessmon.records.vlbimon import SNAPSHOT, Point
from tests.vlbimon_frames import frame_of

PAGE = Path(__file__).parents[2] / "docs" / "vlbimon.rst"


def from_the_manual() -> Any:
    [block] = re.findall(r"\.\. code-block:: py\n\n((?: {3}.*\n|\n)+)", PAGE.read_text())
    names: dict[str, Any] = {}
    exec(compile(dedent(block), str(PAGE), "exec"), names)
    return names["Fahrenheit"]()


@pytest.mark.parametrize(
    ("value", "made"),
    [(300.0, 80.33), (float("nan"), float("nan")), ("cold", None), (300, None), (True, None)],
)
def test_the_manuals_transform_works(value: Any, made: float | None) -> None:
    stage = from_the_manual()
    assert verifyObject(IStage, stage)
    text = json.dumps(
        {
            "KP": {
                "data": {"weather_temperature": [1712345600.5, value], "weather_tau225": [1712345600, 300.0]}
            }
        }
    )
    several = VlbimonDecoder().decode(frame_of(SNAPSHOT, text))
    assert isinstance(several, Several)
    temperature, other = several.records
    assert stage.take(other) == (other,)
    *derived, last = stage.take(temperature)
    assert last is temperature
    if made is None:
        assert derived == []
    else:
        [point] = derived
        assert isinstance(point, Point)
        assert (point.parameter, point.station, point.stamp) == ("weather_fahrenheit", "KP", 1712345600.5)
        assert point.value == pytest.approx(made, nan_ok=True)
        assert point.subject == "bridge"

# SPDX-License-Identifier: MIT
"""What names of files say."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tessmon.files.naming import FileName, name_of

SANTIAGO = ZoneInfo("America/Santiago")
MAGAOX = Path(__file__).parents[1] / "magaox"


@pytest.mark.parametrize(
    ("text", "device", "start_ns", "kind"),
    [
        ("tcsi_20240321000344227064912.bintel", "tcsi", 1_710_979_424_227_064_912, "bintel"),
        ("tcsi_20240321000344227064912.binlog", "tcsi", 1_710_979_424_227_064_912, "binlog"),
        ("mzmqClientAOC_RTC_20240321000344227064912.bintel", "mzmqClientAOC_RTC", 1_710_979_424_227_064_912, "bintel"),
        ("maggieo_x_2024-03-20T054658.ndjson.gz", "maggieo_x", 1_710_913_618_000_000_000, "ndjson.gz"),
        ("maggieo_x_2024-03-20T054658.ndjson", "maggieo_x", 1_710_913_618_000_000_000, "ndjson"),
        ("__20240229235959999999999.bintel", "_", 1_709_251_199_999_999_999, "bintel"),
        ("a b\n_20240321000344227064912.bintel", "a b\\x0a", 1_710_979_424_227_064_912, "bintel"),
        ("é\udcff_20240321000344227064912.bintel", "é\\xff", 1_710_979_424_227_064_912, "bintel"),
    ],
)  # fmt: skip
def test_device_start_and_kind_are_in_the_name(text: str, device: str, start_ns: int, kind: str) -> None:
    assert name_of(text, UTC) == FileName(device, start_ns, kind)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tcsi.bintel",
        "_20240321000344227064912.bintel",
        "tcsi_20240321000344227064912.bintel.gz",
        "tcsi_20240321000344227064912.log",
        "tcsi_20240321000344227064912.bintel\n",
        "tcsi_2024032100034422706491.bintel",
        "tcsi_202403210003442270649123.bintel",
        "tcsi_20241321000344227064912.bintel",
        "tcsi_20240230000344227064912.bintel",
        "tcsi_20240321240344227064912.bintel",
        "tcsi_00000321000344227064912.bintel",
        "tcsi_19690321000344227064912.bintel",
        "tcsi_22630321000344227064912.bintel",
        "tcsi_٢0240321000344227064912.bintel",
        "tcsi_2024-03-20T0546.ndjson",
        "tcsi_2024-03-20T054661.ndjson",
        "camsci1_20240321000344227064912.fits",
        ".tcsi_20240321000344227064912.bintel.swp",
    ],
)
def test_other_names_are_no_telemetry(text: str) -> None:
    assert name_of(text, UTC) is None


def test_only_python_devices_have_local_stamps() -> None:
    local, utc = "maggieo_x_2024-03-20T054658.ndjson", "tcsi_20240320054658000000000.bintel"
    early, late = name_of(utc, SANTIAGO), name_of(local, SANTIAGO)
    assert early is not None
    assert late is not None
    assert late.start_ns - early.start_ns == 3 * 3600 * 1_000_000_000


def test_an_hour_that_comes_twice_is_the_first() -> None:
    before, twice, after = (
        name_of(f"x_2024-04-06T{hour}3000.ndjson", SANTIAGO) for hour in ("22", "23", "24")
    )
    assert after is None
    assert before is not None
    assert twice is not None
    assert twice.start_ns - before.start_ns == 3600 * 1_000_000_000


def test_every_real_file_has_a_name() -> None:
    kinds = [name_of(path.name, UTC) for path in MAGAOX.glob("exao*/**/*.*")]
    assert len(kinds) >= 12
    assert None not in kinds
    assert {each.kind for each in kinds if each} == {"bintel", "binlog", "ndjson", "ndjson.gz"}

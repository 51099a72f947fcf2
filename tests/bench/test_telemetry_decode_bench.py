# SPDX-License-Identifier: MIT
"""The bench of binary telemetry runs; what it says of speed means something only on a quiet machine."""

from __future__ import annotations

from tests import flatlogs
from tests.bench import bench_telemetry_decode as bench
from tests.decode.bintel_pieces import decode


def test_every_type_is_measured_beside_its_ceiling() -> None:
    found = bench.main(count=50, rounds=1)
    assert [figures["name"] for figures in found] == [
        f"telemetry_decode_{flatlogs.event(kind.code).name}" for kind in flatlogs.KINDS
    ]
    for figures in found:
        assert figures["ours"] > 0
        assert figures["ceiling"] > 0
        assert figures["conditions"]["accessors_hz"] > 0


def test_mixed_records_are_sound_and_each_another() -> None:
    content = flatlogs.mixed(900)
    assert content == flatlogs.mixed(900)
    records = decode(content, last=True).records
    assert len({record.digest for record in records}) == 900
    assert len({(record.ec, record.ts_ns) for record in records}) == 900

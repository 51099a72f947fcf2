# SPDX-License-Identifier: MIT
"""The bench of lines runs; its figures mean something only when it has the machine for itself."""

from __future__ import annotations

from pathlib import Path

from tests.bench.bench_ndjson import measure


def test_lines_are_measured_beside_pythons_own_reader(tmp_path: Path) -> None:
    figures = measure(tmp_path, 500, 1)
    assert [figure["name"] for figure in figures] == [
        f"decode_{kind}_{packed}" for kind in ("usual", "odd", "vector") for packed in ("ndjson", "ndjson_gz")
    ]
    assert all(figure["ours"] > 0 and figure["ceiling"] > 0 for figure in figures)

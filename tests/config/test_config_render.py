# SPDX-License-Identifier: MIT
"""The sample file and the effective configuration."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from tessmon.config.load import DEFAULT, load
from tessmon.config.model import INPUTS, Config, Files, Vlbimon, settings
from tessmon.config.render import effective, sample, show, toml_value


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "tessmon.toml"
    path.write_text(text)
    return path


def test_sample_loads_as_the_defaults(tmp_path: Path) -> None:
    assert load(written(tmp_path, sample())).config == Config()


def test_sample_with_its_comments_taken_away_loads_as_the_defaults(tmp_path: Path) -> None:
    bare = re.sub(r"^# (\[|\w+ = (?!\"\.\.\.\"))", r"\1", sample(), flags=re.MULTILINE)
    loaded = load(written(tmp_path, bare))
    assert loaded.config == Config(files=Files(), vlbimon=Vlbimon())
    assert sum(origin != DEFAULT for origin in loaded.origins.values()) > 30


def test_sample_names_every_setting_with_its_meaning() -> None:
    text = sample()
    for table, each in settings():
        assert re.search(rf"^(# )?\[{re.escape(table)}\]$", text, re.MULTILINE)
        how = "live" if each.metadata["live"] else "restart"
        assert f"\n# {each.metadata['doc']} ({how})\n# {each.name} = " in text


def test_what_is_shown_is_toml_that_loads_to_the_same(tmp_path: Path) -> None:
    first = load(
        written(
            tmp_path,
            '[mqtt]\nclient_id = "a \\"b\\" \\\\ ü 🌌 \\u007f"\n[log.levels]\n"tessmon.lane" = "debug"\n'
            '[photometer]\ndeny = ["x", "y"]\n[web]\nlisten = ""\n',
        )
    )
    second = load(written(tmp_path, show(first)))
    assert second.config == first.config


def test_each_value_is_shown_with_its_origin(tmp_path: Path) -> None:
    path = written(tmp_path, "[writer]\nbatch_rows = 7\n")
    lines = show(load(path)).splitlines()
    (line,) = [line for line in lines if line.startswith("batch_rows")]
    assert re.fullmatch(rf"batch_rows = 7 +# {re.escape(str(path))}:2, live", line)
    (line,) = [line for line in lines if line.startswith("batch_delay_s")]
    assert re.fullmatch(r"batch_delay_s = 0\.02 +# default, live", line)
    assert {f"# [{name}] is not in the file: off" for name in INPUTS} <= set(lines)


def test_secrets_are_shown_nowhere(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, '[database]\ndsn = "dbname=tessmon password=geheim"\n'))
    as_json = json.dumps([each._asdict() for each in effective(loaded)])
    assert "geheim" not in show(loaded) + as_json
    assert "password=***" in as_json


@pytest.mark.parametrize(
    "value", ["", 'a"b\\c\n\t\x00\x7f', "ñ🌌", True, 0, -5, 0.02, 1e-9, 30.0, [], ["a", 1], {}, {"a.b": "c"}]
)
def test_values_are_written_as_toml_reads_them(value: object) -> None:
    assert tomllib.loads(f"v = {toml_value(value)}") == {"v": value}

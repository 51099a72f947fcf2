# SPDX-License-Identifier: MIT
"""etc/tessmon.toml is made from the model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tessmon.config import places
from tessmon.config.load import load
from tessmon.config.model import Config, Files, settings
from tessmon.config.render import packaged

FILE = Path(__file__).parents[2] / "etc" / "tessmon.toml"
MAKE = (
    "python -c 'from tessmon.config.render import packaged; print(packaged(), end=\"\")' > etc/tessmon.toml"
)


def test_it_is_what_the_model_gives() -> None:
    assert FILE.read_text() == packaged(), f"make it anew: {MAKE}"


def test_it_is_the_same_on_every_machine_and_for_every_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/elsewhere")
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/elsewhere")
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    assert FILE.read_text() == packaged()


def test_it_has_every_setting_and_loads_as_the_defaults() -> None:
    assert load(FILE).config == Config()
    text = FILE.read_text()
    for table, each in settings():
        _, _, below = text.replace("\n# [", "\n[").partition(f"\n[{table}]\n")
        its_own, _, _ = below.partition("\n\n")
        assert f"\n# {each.name} = " in its_own


def test_with_its_comments_taken_away_it_is_a_service(tmp_path: Path) -> None:
    path = tmp_path / "tessmon.toml"
    path.write_text(re.sub(r"^# (\[|\w+ = (?!\"\.\.\.\"))", r"\1", FILE.read_text(), flags=re.MULTILINE))
    config = load(path).config
    assert config.journal.directory == places.SERVICE_STATE
    assert config.admin.socket == places.SERVICE_RUNTIME / places.ADMIN_SOCKET
    assert config.files == Files(host="HOSTNAME")

# SPDX-License-Identifier: MIT
"""Drop-ins for the unit that the manual shows: systemd understands them, and settings name what they load."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs.conftest import ROOT, Manual

UNIT = ROOT / "etc" / "systemd" / "tessmon.service"


def faults(directory: Path, drop_in: str) -> str:
    """What systemd says of the unit with a drop-in."""
    directory.mkdir()
    unit = directory / "tessmon.service"
    unit.write_text(re.sub(r"(?m)^(Exec\w+)=.*$", rf"\1={shutil.which('true')}", UNIT.read_text()))
    (directory / "tessmon.service.d").mkdir()
    (directory / "tessmon.service.d" / "override.conf").write_text(drop_in)
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(unit)],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{directory}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    return verified.stdout + verified.stderr


@pytest.fixture
def drop_in(manual: Manual) -> str:
    """The one for the vlbimon login."""
    [text] = [text for page, text in manual.blocks("ini") if page == "configuration"]
    return text


def test_systemd_understands_the_drop_in_for_the_vlbimon_login(drop_in: str, tmp_path: Path) -> None:
    assert faults(tmp_path / "good", drop_in + "\n") == ""
    assert "override.conf:2" in faults(
        tmp_path / "bad", drop_in.replace("Credential=", "Credentials=") + "\n"
    )


def test_the_settings_name_the_credentials_that_systemd_loads(manual: Manual, drop_in: str) -> None:
    named = {
        text.partition("credential:")[2].rstrip('"')
        for page, text in manual.literals() + manual.blocks("toml")
        if page == "configuration" and "auth_file" in text and "credential:" in text
    }
    [loaded] = re.findall(r"(?m)^LoadCredential=([^:]+):", drop_in)
    [directory] = re.findall(r"(?m)^LoadCredential=([^:]+):/etc/tessmon/secrets$", UNIT.read_text())
    assert {each.strip() for each in named} == {loaded, f"{directory}_vlbimon.yaml"}

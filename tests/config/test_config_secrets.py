# SPDX-License-Identifier: MIT
"""Secrets are read from files that others can't read, and never shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tessmon.config.load import load
from tessmon.config.secrets import read_secret, secret_path, without_secrets
from tessmon.errors import ConfigurationError


def secret_file(directory: Path, mode: int, text: bytes = b"geheim\n") -> Path:
    path = directory / "password"
    path.write_bytes(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_secret_of_the_owner_alone_is_read_without_its_line_end(tmp_path: Path, mode: int) -> None:
    assert read_secret(secret_file(tmp_path, mode)) == "geheim"


@pytest.mark.parametrize("mode", [0o604, 0o606, 0o620, 0o602, 0o601, 0o660])
def test_secret_that_others_can_get_at_is_refused(tmp_path: Path, mode: int) -> None:
    path = secret_file(tmp_path, mode)
    with pytest.raises(ValueError, match=f"has mode {mode:04o}.*chmod 600"):
        read_secret(path)
    configuration = tmp_path / "tessmon.toml"
    configuration.write_text('[mqtt]\nusername = "u"\npassword_file = "password"\n')
    with pytest.raises(ConfigurationError, match=r":3: \[mqtt\] password_file is refused: .*chmod 600"):
        load(configuration)


def test_group_may_read_what_belongs_to_root(tmp_path: Path) -> None:
    path = secret_file(tmp_path, 0o640)
    if os.geteuid() == 0:
        assert read_secret(path) == "geheim"
        os.chown(path, 12345, 12345)
    with pytest.raises(ValueError, match="has mode 0640"):
        read_secret(path)


@pytest.mark.parametrize("text", [b"", b"\n", b"\xff", b"a\0b", b"x" * 70_000])
def test_what_is_no_secret_is_refused(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(ValueError, match="password"):
        read_secret(secret_file(tmp_path, 0o600, text))


def test_directory_and_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a file"):
        read_secret(tmp_path)
    with pytest.raises(ValueError, match="No such file"):
        read_secret(tmp_path / "none")


def test_credential_is_looked_up_when_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = tmp_path / "tessmon.toml"
    configuration.write_text('[mqtt]\nusername = "u"\npassword_file = "credential:password"\n')
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    mqtt = load(configuration).config.mqtt
    assert mqtt is not None
    assert mqtt.password_file is not None
    with pytest.raises(ValueError, match="LoadCredential=password"):
        read_secret(mqtt.password_file)
    secret_file(tmp_path, 0o400)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert secret_path(mqtt.password_file) == tmp_path / "password"
    assert read_secret(mqtt.password_file) == "geheim"


@pytest.mark.parametrize(
    "dsn",
    [
        "dbname=tessmon password=geheim host=a",
        "password = 'geheim with \\' blanks' host=a",
        "sslpassword=geheim host=a",
        "PASSWORD=geheim host=a",
        "postgresql://me:geheim@a/tessmon",
        "postgresql://a/tessmon?user=me&password=geheim",
    ],
)
def test_passwords_are_masked(dsn: str) -> None:
    shown = without_secrets(dsn)
    assert "geheim" not in shown
    assert "blanks" not in shown
    assert "***" in shown
    assert "a" in shown


def test_text_without_password_is_not_touched() -> None:
    for text in ("dbname=tessmon user=me", "postgresql://me@a/tessmon", "mqtt://127.0.0.1:1883"):
        assert without_secrets(text) == text

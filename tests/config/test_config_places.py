# SPDX-License-Identifier: MIT
"""Default places, for services and for ordinary users."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tessmon.config import places

VARIABLES = ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME")


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that says nothing about places."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", "/home/observer")
    return monkeypatch


def as_user(env: pytest.MonkeyPatch, uid: int) -> None:
    env.setattr(os, "geteuid", lambda: uid)


def found() -> list[str]:
    return [
        str(place())
        for place in (
            places.default_configuration,
            places.default_state_directory,
            places.default_admin_socket,
        )
    ]


def test_root_is_a_service(env: pytest.MonkeyPatch) -> None:
    as_user(env, 0)
    assert found() == ["/etc/tessmon/tessmon.toml", "/var/lib/tessmon", "/run/tessmon/admin.sock"]


def test_systemd_says_where_a_service_lives(env: pytest.MonkeyPatch) -> None:
    as_user(env, 1000)
    env.setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two")
    env.setenv("RUNTIME_DIRECTORY", "/run/one")
    assert found() == ["/etc/tessmon/tessmon.toml", "/var/lib/one", "/run/one/admin.sock"]


def test_ordinary_user_lives_in_the_xdg_directories(env: pytest.MonkeyPatch) -> None:
    as_user(env, 1000)
    env.setenv("XDG_STATE_HOME", "/state")
    env.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    env.setenv("XDG_CONFIG_HOME", "/config")
    assert found() == ["/config/tessmon/tessmon.toml", "/state/tessmon", "/run/user/1000/tessmon/admin.sock"]


def test_without_xdg_variables_or_with_relative_ones_the_home_is_taken(env: pytest.MonkeyPatch) -> None:
    as_user(env, 1000)
    env.setenv("XDG_STATE_HOME", "relative")
    env.setattr("tempfile.tempdir", "/temporary")
    assert found() == [
        "/home/observer/.config/tessmon/tessmon.toml",
        "/home/observer/.local/state/tessmon",
        str(Path("/temporary/tessmon-1000/admin.sock")),
    ]

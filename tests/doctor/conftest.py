# SPDX-License-Identifier: MIT
"""Brokers with odd settings, and one more database than all tests share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tessmon.demo.servers import Broker, new_directory
from tests.postgres import unchanged_database

__all__ = ["broker_with", "readable", "unchanged_database"]


@pytest.fixture
def readable() -> Iterator[Path]:
    """A directory whose files the broker's user can read too."""
    directory = new_directory("tessmon-doctor-")
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def broker_with() -> Iterator[Callable[..., Broker]]:
    """Makes started mosquittos; all end with the test."""
    brokers: list[Broker] = []

    def make(*lines: str) -> Broker:
        server = Broker(new_directory("tessmon-doctor-"), kind="mosquitto", lines=lines)
        brokers.append(server)
        server.start()
        return server

    yield make
    for server in brokers:
        server.stop()
        shutil.rmtree(server.directory)

# SPDX-License-Identifier: MIT
"""A directory that an unprivileged server can reach, and what the system says about processes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tessmon.demo.servers import new_directory


@pytest.fixture
def demo_directory() -> Iterator[Path]:
    directory = new_directory("tessmon-test-")
    yield directory
    shutil.rmtree(directory)

# SPDX-License-Identifier: MIT
"""The ``tessmon`` command beside a running service, as an operator's shell has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.observatory import Service

ROOT = Path(__file__).parent.parent
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tessmon' AND datname = current_database()"
DEADLINE_S = 120


def tessmon(service: Service, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one command."""
    return subprocess.run(
        [sys.executable, "-m", "tessmon", *arguments, "--config", str(service.config)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def done(finished: subprocess.CompletedProcess[str]) -> str:
    """What a command said, which did what it was asked."""
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def refused(finished: subprocess.CompletedProcess[str]) -> str:
    """What a command said, which did not."""
    assert finished.returncode == 1, finished.stdout
    assert "Traceback" not in finished.stderr
    return finished.stderr


def shell_with_tessmon(directory: Path) -> dict[str, str]:
    """An environment in which a shell finds the command."""
    directory.mkdir(exist_ok=True)
    command = directory / "tessmon"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m tessmon "$@"\n')
    command.chmod(0o755)
    return {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{directory}:{os.environ['PATH']}"}

# SPDX-License-Identifier: MIT
"""The network between the service and its servers swallows packets in silence: it is noticed in time, and survived."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests import scale
from tests.violence.netns import isolated

ROOT = Path(__file__).parent.parent.parent
CASES = Path(__file__).with_name("partitioned.py")
REPRESENTATIVE = "[both-both-busy]"


def test_a_partition_is_noticed_and_survived() -> None:
    """The cases are a run of pytest in a network of its own."""
    cases = str(CASES) if scale.FULL else f"{CASES}::test_a_partition_is_noticed_and_survived{REPRESENTATIVE}"
    command = isolated([sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", cases])
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    print(done.stdout)
    assert not done.returncode, "a case failed; its report is above"
    assert " passed" in done.stdout

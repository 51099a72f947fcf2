# SPDX-License-Identifier: MIT
"""Without a driver there is a sentence."""

from __future__ import annotations

import subprocess
import sys


def test_a_missing_driver_is_one_sentence_that_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['psycopg2'] = None\n"
        "from tessmon.errors import TessmonError\n"
        "try: import tessmon.database.connection\n"
        "except TessmonError as error: print(error)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "tessmon[binary]" in answer.stdout
    assert len(answer.stdout.splitlines()) == 1

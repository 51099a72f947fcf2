# SPDX-License-Identifier: MIT
"""Checks that fail, hang and are interrupted, in company of others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tessmon.doctor import SUBJECTS
from tessmon.doctor.examination import Check, check_of
from tessmon.doctor.finding import Finding, Verdict, Wishes, ok
from tessmon.doctor.patience import OutOfTimeError, Patience
from tessmon.errors import TessmonError
from tests.doctor.examined import configured, examined

FAILURES = [
    (TessmonError("the moon is full"), "the moon is full"),
    (OSError(5, "Input/output error", "/dev/x"), "Input/output error"),
    (ZeroDivisionError("by zero"), "a defect of tessmon: ZeroDivisionError('by zero')"),
]


@pytest.mark.parametrize(("error", "words"), FAILURES)
def test_a_check_that_fails_hides_nothing_it_found(error: Exception, words: str, tmp_path: Path) -> None:
    def look(wishes: Wishes, patience: Patience) -> Iterator[Finding]:
        yield ok("first", "found")
        raise error

    found = examined(Check("moon", look, 30), configured(tmp_path))
    assert found["first"].verdict is Verdict.OK
    assert found["moon"].verdict is Verdict.FAULT
    assert words in found["moon"].found


def test_a_check_that_hangs_is_left_behind(tmp_path: Path) -> None:
    forever = threading.Event()

    def look(wishes: Wishes, patience: Patience) -> Iterator[Finding]:
        yield ok("first", "found")
        forever.wait()

    found = examined(Check("moon", look, 0.1, 0.1), configured(tmp_path))
    assert "no answer within 0.1 s" in found["moon"].found
    assert found["moon"].verdict is Verdict.FAULT
    assert found["first"].verdict is Verdict.OK
    forever.set()


def test_a_check_without_time_says_so(tmp_path: Path) -> None:
    def look(wishes: Wishes, patience: Patience) -> Iterator[Finding]:
        while patience.left_s(0.01):
            threading.Event().wait(0.01)
        yield ok("moon", "never")

    found = examined(Check("moon", look, 0.1), configured(tmp_path))
    assert found["moon"].found == "it was given up after 0.1 s"


def test_patience_ends_when_the_operator_has_had_enough() -> None:
    patience = Patience(60)
    assert patience.left_s(5) == 5
    assert 5 < patience.left_s(3600) <= 60
    patience.end()
    with pytest.raises(OutOfTimeError):
        patience.left_s(5)


def test_an_interrupted_check_puts_things_right(tmp_path: Path) -> None:
    """Ctrl-C reaches the main thread while the check works; what it does in the end is done before we leave."""
    righted = threading.Event()
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    def look(wishes: Wishes, patience: Patience) -> Iterator[Finding]:
        signal.pthread_kill(main_thread, signal.SIGINT)
        try:
            while patience.left_s(1):
                threading.Event().wait(0.01)
            yield ok("moon", "never")
        finally:
            righted.set()

    with pytest.raises(KeyboardInterrupt):
        examined(Check("moon", look, 60), configured(tmp_path))
    assert righted.is_set()


@pytest.mark.parametrize("subject", SUBJECTS)
def test_what_a_subject_finds_begins_with_its_name(subject: str, tmp_path: Path) -> None:
    loaded = configured(tmp_path, database={"dsn": f"host={tmp_path}"})
    found = examined(subject, loaded)
    assert found
    names = {"configuration": ("configuration", "service"), "certificates": ("certificate",)}
    assert all(each.startswith(names.get(subject, (subject,))) for each in found)
    assert check_of(subject).limit_s > 0


def test_the_command_leaves_a_hanging_check_behind_too(tmp_path: Path) -> None:
    """A thread that hangs in the system must not keep the process."""
    program = (
        "import sys, threading\n"
        "from tessmon.doctor import examination\n"
        "def look(wishes, patience):\n"
        "    threading.Event().wait()\n"
        "    yield\n"
        "told = []\n"
        "examination.examine(examination.Check('moon', look, 0.1, 0.1), None, told.append)\n"
        "print(len(told))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")

# SPDX-License-Identifier: MIT
"""A journal whose thread hangs is noticed, whatever it hangs on."""

from __future__ import annotations

import threading

import pytest_twisted

from tests.journal.desk import Desk, a_frame, until, write

SILENT_S = 0.2


@pytest_twisted.ensureDeferred
async def test_a_thread_that_answers_owes_nothing(desk: Desk) -> None:
    journal = desk.make()
    assert journal.pulse() == 0  # not even open
    await journal.open()
    await write(journal, 1, 10)
    for _ in range(3):
        await until(lambda: journal.pulse() == 0)  # which asks again
    await journal.close()
    assert journal.pulse() == 0


@pytest_twisted.ensureDeferred
async def test_a_commit_that_hangs_is_owed_until_it_is_done(desk: Desk) -> None:
    goes_on = threading.Event()
    goes_on.set()
    journal = await desk.open(reached=lambda point: goes_on.wait())
    await write(journal, 1, 10)
    goes_on.clear()
    journal.append(a_frame(11))
    await until(lambda: journal.pulse() > SILENT_S)
    goes_on.set()
    await until(lambda: not journal.pending_bytes and journal.pulse() == 0)


@pytest_twisted.ensureDeferred
async def test_a_thread_that_hangs_while_nobody_wants_anything_is_asked(desk: Desk) -> None:
    goes_on = threading.Event()
    journal = await desk.open()
    journal._pool.callInThread(goes_on.wait)  # as the disk itself would hold it
    assert journal.pulse() == 0
    await until(lambda: journal.pulse() > SILENT_S)
    goes_on.set()
    await until(lambda: journal.pulse() == 0)

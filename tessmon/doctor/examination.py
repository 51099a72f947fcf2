# SPDX-License-Identifier: MIT
"""Runs checks one after the other; none can hide another, whether it fails, hangs or is interrupted.

Each runs in a thread of its own, which a check that hangs in the system (a look-up of a name, say) keeps for
itself; the next one goes on. One after the other, because what they measure is time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from importlib import import_module
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple, TypeAlias

from tessmon.doctor import SUBJECTS
from tessmon.doctor.finding import Finding, Wishes, fault
from tessmon.doctor.patience import Patience
from tessmon.errors import TessmonError

GRACE_S = 5.0
"""For what a check puts right when its time is over [s]."""

Look: TypeAlias = Callable[[Wishes, Patience], Iterator[Finding]]
_Said: TypeAlias = "SimpleQueue[Finding | None]"


class Check(NamedTuple):
    """One subject: its name, what looks at it, how long that may take [s], and putting things right then [s]."""

    subject: str
    look: Look
    limit_s: float
    grace_s: float = GRACE_S


def check_of(subject: str) -> Check:
    """The check of a subject of `SUBJECTS`."""
    module = import_module(SUBJECTS[subject])
    return Check(subject, module.look, module.LIMIT_S)


def examine(check: Check, wishes: Wishes, tell: Callable[[Finding], None]) -> None:
    """Have a check look, and tell each of its findings as it comes.

    Raises:
        KeyboardInterrupt: the operator has had enough; the check has been given time to put things right.
    """
    with closing(_findings(check, wishes)) as findings:
        for finding in findings:
            tell(finding)


def _findings(check: Check, wishes: Wishes) -> Generator[Finding, None, None]:
    patience = Patience(check.limit_s)
    said: _Said = SimpleQueue()
    thread = Thread(target=_run, args=(check, wishes, patience, said), daemon=True, name=check.subject)
    until_s = time.monotonic() + check.limit_s + check.grace_s
    try:
        thread.start()
        while (finding := said.get(timeout=max(0.0, until_s - time.monotonic()))) is not None:
            yield finding
    except Empty:
        yield fault(
            check.subject,
            f"no answer within {check.limit_s:g} s, the check hangs",
            "look at name resolution and the network, then try again",
        )
    finally:
        patience.end()
        if thread.ident is not None:
            thread.join(max(0.0, min(check.grace_s, until_s - time.monotonic())))


def _run(check: Check, wishes: Wishes, patience: Patience, said: _Said) -> None:
    try:
        for finding in check.look(wishes, patience):
            said.put(finding)
    except TessmonError as error:
        said.put(fault(check.subject, str(error)))
    except OSError as error:
        said.put(fault(check.subject, str(error)))
    except Exception as error:
        said.put(fault(check.subject, f"a defect of tessmon: {error!r}", "report it"))
    finally:
        said.put(None)

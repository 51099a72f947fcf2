# SPDX-License-Identifier: MIT
"""A process of its own: the vlbimon source and its journal; it kills itself when a point is reached for the n-th time.

Arguments: the directory, the server's URL, the point, n.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.logger import globalLogBeginner, textFileLogObserver

from tessmon.journal.journal import Journal
from tessmon.sources.vlbimon import VlbimonSource
from tests.sources.vlbimonrig import EVERYTHING, settings


async def main(directory: Path, url: str, point: str, times: int) -> None:
    left = [times]

    def reached(here: str) -> None:
        left[0] -= here == point
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    journal = Journal(
        directory / "journal", None, reactor, max_bytes=1 << 30, min_free_bytes=0, retention_s=EVERYTHING
    )
    source = VlbimonSource(
        settings(directory, url),
        journal,
        reactor,
        recall=lambda: -1,
        directory=directory,
        end=lambda: None,
        reached=reached,
    )
    journal.listener = source
    await journal.open()
    source.startService()


if __name__ == "__main__":
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    where, *given = sys.argv[1:]
    running = ensureDeferred(main(Path(where), given[0], given[1], int(given[2])))
    running.addErrback(lambda failure: (failure.printTraceback(), os._exit(1)))
    reactor.run()

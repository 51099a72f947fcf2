# SPDX-License-Identifier: MIT
"""A process of its own: source and journal; it kills itself at the n-th acknowledgement or ends when all came.

Arguments: the journal's directory, the broker's port, n (0: never), how many messages there are in all.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import globalLogBeginner, textFileLogObserver

from tessmon.journal.journal import Journal
from tessmon.records.frame import FrameKind
from tessmon.records.position import START
from tessmon.sources.mqtt import MqttSource
from tests.sources.mqttrig import Mosquitto


async def messages_in(journal: Journal) -> int:
    """How many messages are on disk."""
    count, at = 0, START
    while frames := (await journal.read(at, 5000, 1 << 22)).frames:
        count += sum(frame.kind == FrameKind.MESSAGE for frame in frames)
        at = frames[-1].position
    return count


async def main(directory: Path, port: int, kill_at: int, messages: int) -> None:
    left = [kill_at]

    def reached(_point: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    journal = Journal(directory, None, reactor, max_bytes=1 << 30, min_free_bytes=0, retention_s=3600)
    source = MqttSource(Mosquitto.settings_of(port), journal, reactor, reached=reached)
    journal.listener = source
    await journal.open()
    source.startService()
    while await messages_in(journal) < messages:
        await deferLater(reactor, 0.05)
    await deferLater(reactor, 0.5)
    await source.stopService()
    await journal.close()


if __name__ == "__main__":
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    path, *numbers = sys.argv[1:]
    running = ensureDeferred(main(Path(path), *map(int, numbers)))
    running.addErrback(lambda failure: (failure.printTraceback(), os._exit(1)))
    running.addCallback(lambda _none: reactor.stop())
    reactor.run()

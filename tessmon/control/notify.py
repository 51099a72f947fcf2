# SPDX-License-Identifier: MIT
# mypy: disable-error-code="no-untyped-call"
"""What systemd is told: that the service is up, how it fares, and, for as long as it is so, that it is alive.

Source: sd_notify(3), sd_watchdog_enabled(3). Without NOTIFY_SOCKET nobody listens and nothing is sent.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from sdnotify import SystemdNotifier
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from tessmon.control.face import ServiceFace
from tessmon.errors import TessmonError

LOOK_S = 1.0
"""How often the state is looked at, and what could not be sent is sent again [s]."""
STATUS_S = 60.0
"""How often the status is sent though no state has changed [s]."""
EXTENSION_S = 30.0
"""A start that has been told to take longer is given up when it is silent for this time [s]."""

_MAX_STATUS = 500
_MAX_UNSENT = 16


class Notify(Service):
    """The service's half of systemd's notify protocol.

    Also without systemd it looks at the service's life once a second, so that who asks `ServiceFace.live` rarely
    gets an answer that is older.

    Args:
        face: of the service.
        reactor: time.
    """

    log = Logger()

    def __init__(self, face: ServiceFace, reactor: Any) -> None:
        self._face = face
        self._reactor = reactor
        self._notifier: SystemdNotifier | None = None
        self._unsent: deque[str] = deque(maxlen=_MAX_UNSENT)
        self._trouble: str | None = None
        self._looks = self._looping(self._look)
        self._beats = self._looping(self._beat)
        self._starting = True
        self._told: tuple[object, ...] = ()
        self._told_s = float("-inf")
        self._frames: int | None = None
        self._counting: Deferred[Any] | None = None

    def startService(self) -> None:
        super().startService()
        self._notifier = self._connected()
        self._looks.start(LOOK_S)

    def stopService(self) -> None:
        super().stopService()
        for loop in (self._looks, self._beats):
            if loop.running:
                loop.stop()
        if self._counting is not None:
            self._counting.cancel()
        if self._notifier is not None:
            self._notifier.socket.close()
            self._notifier = None

    def ready(self) -> None:
        """The service has started. A database that is away is its status, and no reason not to be ready."""
        self._starting = False
        self._tell("READY=1", self._status())
        self._count()
        period_s = self._watchdog_s()
        if period_s is not None:
            self._beats.start(period_s / 2)

    def reloading(self) -> None:
        """A reload begins; `reloaded` ends it, whatever came of it."""
        if not self._starting:
            self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self) -> None:
        """The configuration is the new one, or the old one still."""
        if not self._starting:
            self._tell("READY=1")

    def stopping(self) -> None:
        """The service begins to stop, or breaks its start off; more time is not asked for."""
        self._starting = False
        self._tell("STOPPING=1", self._status())

    def _looping(self, call: Callable[[], None]) -> LoopingCall:
        loop = LoopingCall(call)
        loop.clock = self._reactor
        return loop

    def _connected(self) -> SystemdNotifier | None:
        path = os.environ.get("NOTIFY_SOCKET")
        if not path:
            return None
        try:
            notifier = SystemdNotifier(debug=True)  # without debug it keeps every error to itself
        except OSError as error:
            self.log.error("systemd can't be told anything on {path}: {error}", path=path, error=error)
            return None
        notifier.socket.setblocking(False)  # its queue holds few datagrams, and then a send waits for systemd
        return notifier

    def _watchdog_s(self) -> float | None:
        """How long systemd waits for a sign of life [s], None when it does not."""
        period_us, own = os.environ.get("WATCHDOG_USEC", ""), str(os.getpid())
        if not period_us.isdigit() or os.environ.get("WATCHDOG_PID", own) != own:
            return None
        return int(period_us) / 1e6 or None

    def _beat(self) -> None:
        """A sign of life is never sent later: it would vouch for a time that it knows nothing of."""
        if self._face.live()[0]:
            self._sent("WATCHDOG=1")

    def _look(self) -> None:
        now_s = self._reactor.seconds()
        status = self._face.status()
        states = (self._face.live()[0], status["state"], *(source["state"] for source in _sources(status)))
        if self._starting:
            self._extend()
        if states != self._told or now_s - self._told_s >= STATUS_S:
            self._told, self._told_s = states, now_s
            self._tell(self._status())
            self._count()
        self._send_rest()

    def _extend(self) -> None:
        """A damaged journal takes as long as it takes to salvage, and a start that is broken off would begin again;
        a reactor that hangs extends nothing."""
        self._sent(f"EXTEND_TIMEOUT_USEC={int(EXTENSION_S * 1e6)}")

    def _status(self) -> str:
        if self._starting:
            return "STATUS=starting: the journals are being opened"
        live, why = self._face.live()
        status = self._face.status()
        _, sentence = self._face.ready()
        parts = [
            f"{status['state']}: {sentence if live else why}",
            *(f"{source['name']} {source['state']}" for source in _sources(status)),
            *([] if self._frames is None else [f"{self._frames} frames wait"]),
        ]
        return f"STATUS={' '.join('; '.join(parts).split())[:_MAX_STATUS]}"

    def _count(self) -> None:
        """Ask how many frames wait, and tell; the answer comes from the journal, or never if that hangs."""
        if self._counting is None and not self._starting:
            self._counting = counting = ensureDeferred(self._face.waiting())
            counting.addCallback(self._counted)
            counting.addErrback(lambda failure: failure.trap(TessmonError, CancelledError))
            counting.addCallback(self._count_ended)

    def _counted(self, waiting: dict[str, Any]) -> None:
        frames = sum(lane["frames"] for lane in waiting.values())
        if frames != self._frames:
            self._frames = frames
            self._tell(self._status())

    def _count_ended(self, outcome: object) -> None:
        self._counting = None

    def _tell(self, *assignments: str) -> None:
        if self._notifier is not None:
            self._unsent.append("\n".join(assignments))
            self._send_rest()

    def _send_rest(self) -> None:
        while self._unsent and self._sent(self._unsent[0]):
            self._unsent.popleft()

    def _sent(self, message: str) -> bool:
        """Send it now; False when it may be tried again."""
        if self._notifier is None:
            return True
        try:
            # The package writes Latin-1 where systemd reads UTF-8.
            self._notifier.notify(message.encode(errors="replace").decode("latin-1"))
        except OSError as error:
            if self._trouble != str(error):
                self._trouble = str(error)
                self.log.warn("systemd does not listen: {error}", error=error)
            return False
        self._trouble = None
        return True


def _sources(status: dict[str, Any]) -> list[dict[str, Any]]:
    return [*status["sources"], *status["files"]]

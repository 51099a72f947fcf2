# SPDX-License-Identifier: MIT
"""Whether the service is paused: then nobody else has a connection to the database either."""

from __future__ import annotations

import time
from pathlib import Path

from tessmon.config.model import Config
from tessmon.control.client import AdminError, NoAnswerError, NotRunningError, ask
from tessmon.control.door import Pause, kept_pause

_ANSWER_S = 5.0


class Hold:
    """Asks the running service; without one, looks for the lock that survives it.

    Args:
        config: says where both are.
    """

    def __init__(self, config: Config) -> None:
        self._socket = config.admin.socket
        self._lock = config.journal.directory / "paused"
        self._known: str | None = None

    def why(self) -> str | None:
        """Why nobody may write now, None when everybody may.

        Raises:
            AdminError: the service, or its lock, may not be looked at.
        """
        try:
            paused = ask(self._socket, "/status", _ANSWER_S)["paused"]
            self._known = _sentence(Pause(**paused) if paused else None)
        except NotRunningError:
            self._known = _sentence(_kept(self._lock))
        except NoAnswerError:
            pass  # it is busy: as it was
        return self._known


def _kept(lock: Path) -> Pause | None:
    try:
        lock.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AdminError(
            f"whether writes are paused can't be seen at {lock} ({error.strerror}): run this as the user that runs"
            " the service, or as root"
        ) from error
    return kept_pause(lock, time.time_ns)


def _sentence(pause: Pause | None) -> str | None:
    return None if pause is None else f"writes are paused {pause}: `tessmon resume` ends it"

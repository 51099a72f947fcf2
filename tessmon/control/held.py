# SPDX-License-Identifier: MIT
"""Signals that come before the service can take them wait until it can. Imports nothing that takes time.

Until Python runs its first line nobody can hold anything back; who sends signals as early as that starts the
service with them ignored, as nohup does with SIGHUP, and they are lost then and kill nothing.
"""

from __future__ import annotations

import signal

STEERING = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Without a handler each of these ends the process."""


def hold_back() -> None:
    """Keep them waiting, one of each kind."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STEERING)


def let_through() -> None:
    """Have those that wait, and all that come, delivered."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STEERING)

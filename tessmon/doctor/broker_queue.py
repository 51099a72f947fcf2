# SPDX-License-Identifier: MIT
"""What the broker does for a client that is away, measured with a session and a topic of our own.

We subscribe and leave, have messages published, and come back. What comes before we acknowledge anything is the
broker's window; what comes in all is its queue. Whatever happens, the session is gone in the end.
"""

from __future__ import annotations

import time
from contextlib import suppress
from statistics import median
from typing import NamedTuple

from tessmon.doctor.patience import OutOfTimeError, Patience
from tessmon.doctor.probe import Account, Arrival, LostError, Probe, RefusedError
from tessmon.doctor.reach import UnreachableError
from tessmon.errors import TessmonError

ABSENT_QOS0 = 5
"""Messages of QoS 0 among the others."""

_ROUND_TRIPS = 5
_FIRST_S = 1.0
"""For a message that the broker has acknowledged to come back to us [s]."""
_QUIET_S = 0.2
"""No message for so long: no more come [s]. Twice, with an answer of the broker in between."""
_CLEANING_S = 3.0
REFUSAL = 0x80
"""Source: MQTT 3.1.1, 3.9.3; MQTT 5.0, 3.9.3: return codes from here on are refusals."""


class NotPermittedError(TessmonError):
    """Nothing can be measured, because we may not publish or not read what we publish."""


class Measured(NamedTuple):
    """What was measured.

    Attributes:
        round_trip_s: from publishing a message to its arrival, median [s].
        session_kept: the broker knew us when we came back.
        window: messages of QoS 1 that it sent unacknowledged; as many as ``sent`` when it knows no bounds.
        sent: messages of QoS 1 published while we were away.
        kept: those of them that we got.
        kept_qos0: messages of QoS 0 that we got, of `ABSENT_QOS0`.
    """

    round_trip_s: float
    session_kept: bool
    window: int = 0
    sent: int = 0
    kept: int = 0
    kept_qos0: int = 0


def measure(account: Account, publisher: Account, topic: str, messages: int, patience: Patience) -> Measured:
    """Measure round trip, window and queue.

    Args:
        account: one of our own, with a session.
        publisher: another one, without.
        topic: that nobody else subscribes to.
        messages: how many are published while we are away.
        patience: for all of it.

    Raises:
        NotPermittedError: we may not publish there, or not read it.
        UnreachableError, RefusedError, LostError: the broker doesn't want us any more.
        OutOfTimeError: it takes too long.
    """
    try:
        with Probe(account, patience) as before:
            round_trip_s = _round_trip(before, topic)
        with Probe(publisher, patience) as sender:
            sender.publish(topic, [b"0"] * ABSENT_QOS0, 0)
            sender.fence(topic)  # nobody acknowledges them, and one that comes when we are back was not kept
        with Probe(account, patience) as back:
            kept_qos0 = len(_all_that_come(back, topic, ABSENT_QOS0, acknowledging=False))
            if not back.session_present:
                return Measured(round_trip_s, session_kept=False)
        with Probe(publisher, patience) as sender:
            sender.publish(topic, [b"%d" % number for number in range(messages)], 1)
        with Probe(account, patience) as back:
            window, kept = _window_and_queue(back, topic, messages)
        return Measured(round_trip_s, True, window, messages, kept, kept_qos0)
    finally:
        remove_session(account)


def remove_session(account: Account) -> None:
    """Have the broker forget what it keeps for this client id, if it can still be reached."""
    forgetting = Probe(account._replace(session_s=None), Patience(_CLEANING_S))
    with suppress(UnreachableError, RefusedError, LostError, OutOfTimeError), forgetting:
        pass


def _round_trip(probe: Probe, topic: str) -> float:
    """From publishing a message to its arrival, median [s]."""
    [granted] = probe.subscribe([topic])
    if granted >= REFUSAL:
        raise NotPermittedError(f"the broker does not let this user subscribe to {topic}")
    took_s = []
    for _ in range(_ROUND_TRIPS):
        began_s = time.monotonic()
        probe.publish(topic, [b"there and back"], 1)
        if not _came_back(probe, topic):
            raise NotPermittedError(_why_nothing_came(probe, topic))
        arrived = _taken_from(probe)
        probe.acknowledge(arrived)
        took_s.append(arrived[0].at_s - began_s)
    return median(took_s)


def _came_back(probe: Probe, topic: str) -> bool:
    if not probe.arrived and not probe.denied:
        probe.fence(topic)
        probe.until(lambda: bool(probe.arrived), _FIRST_S)
    return bool(probe.arrived)


def _why_nothing_came(probe: Probe, topic: str) -> str:
    if probe.denied:
        return f"the broker does not let this user publish to {topic} ({probe.denied})"
    return f"what this user publishes to {topic} does not come back: it may not publish there, or not read it"


def _window_and_queue(probe: Probe, topic: str, messages: int) -> tuple[int, int]:
    """(sent unacknowledged, sent in all)"""
    unacknowledged = _all_that_come(probe, topic, messages, acknowledging=False)
    probe.acknowledge(unacknowledged)
    window = len(unacknowledged)
    return window, window + len(_all_that_come(probe, topic, messages - window, acknowledging=True))


def _all_that_come(probe: Probe, topic: str, at_most: int, *, acknowledging: bool) -> list[Arrival]:
    """What the broker sends until all are there or it is quiet; it has seen all of ours then."""
    found: list[Arrival] = []
    while len(found) < at_most and _more_came(probe, topic):
        arrived = _taken_from(probe)
        if acknowledging:
            probe.acknowledge(arrived)
        found += arrived
    return found


def _more_came(probe: Probe, topic: str) -> bool:
    if probe.until(lambda: bool(probe.arrived), _QUIET_S):
        return True
    probe.fence(topic)
    return probe.until(lambda: bool(probe.arrived), _QUIET_S)


def _taken_from(probe: Probe) -> list[Arrival]:
    arrived, probe.arrived = probe.arrived, []
    return arrived

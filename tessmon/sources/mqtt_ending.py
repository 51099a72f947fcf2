# SPDX-License-Identifier: MIT
"""How a connection to a broker ends, in the operator's words."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from paho.mqtt.reasoncodes import ReasonCode

SESSION_TAKEN_OVER = 0x8E
"""Another client connected with the same id (Source: MQTT 5.0, 3.14.2.1)."""


class Kind(StrEnum):
    """What ended a connection; the value is the name of the event in the journal."""

    UNREACHABLE = "unreachable"
    """There was none."""
    REFUSED = "refused"
    """The broker, or our own configuration, doesn't want it; only a person can mend that."""
    LOST = "lost"
    """It was good and broke, or the broker said goodbye."""
    CLOSED = "closed"
    """It was good and the broker closed it without a word."""
    TAKEN_OVER = "taken_over"
    """Another client has our id."""
    LEFT = "left"
    """We went."""


class Ending(NamedTuple):
    """How a connection ended: kind, one sentence, and how long it was in use [s]."""

    kind: Kind
    why: str
    stood_s: float = 0.0


_ADVICE = {
    "Bad user name or password": "correct [mqtt] username and password_file",
    "Not authorized": "correct [mqtt] username and password_file, or allow this user or client id at the broker",
    "Client identifier not valid": "choose another [mqtt] client_id",
    "Unsupported protocol version": "choose another [mqtt] protocol",
    "Server unavailable": "wait or look at the broker's log",
}


def connect_refused(reason: ReasonCode) -> str:
    """The sentence for a CONNACK that says no."""
    name = reason.getName()
    return f"the broker refuses the connection ({name}): {_ADVICE.get(name, 'look at its log')}"


def broker_left(reason: ReasonCode) -> Ending:
    """The ending by a DISCONNECT from the broker; only MQTT 5 has it."""
    if reason.value == SESSION_TAKEN_OVER:
        return Ending(Kind.TAKEN_OVER, "another client connected with our client id")
    return Ending(Kind.LOST, f"the broker ended the connection ({reason.getName()})")

# SPDX-License-Identifier: MIT
"""What a check tells: one `Finding` for each thing it looked at."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from tessmon.config.load import Loaded


class Verdict(StrEnum):
    """How bad it is; the value is the word in the report."""

    OK = "ok"
    WARNING = "warning"
    """It works, but worse than it could, or not for ever."""
    FAULT = "fault"
    """Data is not taken, not stored or not safe."""
    NOT_CHECKED = "not checked"
    """Nothing can be said; the finding says why."""


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes:
        subject: a few words; they begin with the subject that the command line names.
        verdict: how bad it is.
        found: what was found, with its figures, or why nothing was.
        advice: what to do; empty where there is nothing to do.
    """

    subject: str
    verdict: Verdict
    found: str
    advice: str = ""


class Wishes(NamedTuple):
    """What every check is given: the configuration, and how many messages the broker's queue is measured with."""

    loaded: Loaded
    messages: int


def ok(subject: str, found: str) -> Finding:
    """As it should be."""
    return Finding(subject, Verdict.OK, found)


def warning(subject: str, found: str, advice: str) -> Finding:
    """Could be better."""
    return Finding(subject, Verdict.WARNING, found, advice)


def fault(subject: str, found: str, advice: str = "") -> Finding:
    """Must be mended; the advice may stand in ``found`` already, as in sentences that the service says too."""
    return Finding(subject, Verdict.FAULT, found, advice)


def not_checked(subject: str, why: str, advice: str = "") -> Finding:
    """Nothing can be said."""
    return Finding(subject, Verdict.NOT_CHECKED, why, advice)


def unreadable(subject: str, why: str) -> Finding:
    """A secret can't be read; one that systemd keeps for the service can be, while that runs."""
    if "LoadCredential" not in why:
        return fault(subject, why)
    return not_checked(
        subject,
        why,
        "while the service runs, as root: CREDENTIALS_DIRECTORY=/run/credentials/tessmon.service tessmon doctor",
    )


def milliseconds(seconds: float) -> str:
    """0.3 ms for 0.0003: what is measured here is short."""
    return f"{1000 * seconds:.1f} ms"

# SPDX-License-Identifier: MIT
"""Who is let in: the lists of allowed and denied photometers."""

from __future__ import annotations

from tessmon.config.model import Photometer
from tessmon.errors import Cause
from tessmon.records.outcome import Filtered, Record
from tessmon.records.photometer import Reading, Registration
from tessmon.stages.transform import Transform


class Admit(Transform):
    """Readings and registrations of photometers that the lists shut out are filtered; all else goes on.

    Args:
        photometer: lists of lower-case names; an empty ``allow`` lets everyone in, ``deny`` wins over it.
    """

    name = "admit"
    holds = False
    lasting = False

    def __init__(self, photometer: Photometer) -> None:
        self._allow = frozenset(photometer.allow)
        self._deny = frozenset(photometer.deny)

    def take(self, record: Record) -> tuple[Record]:
        if isinstance(record, (Reading, Registration)):
            if record.name in self._deny:
                return (Filtered(record.frame, Cause.DENIED, record.name),)
            if (
                self._allow and record.name not in self._allow
            ):  # a name that anybody can make up: counted for no one
                return (Filtered(record.frame, Cause.DENIED),)
        return (record,)

# SPDX-License-Identifier: MIT
"""What a field of the configuration carries: reader, a sentence for the operator, whether a reload takes it up."""

from __future__ import annotations

from collections.abc import Mapping

from tessmon.config import values

MIB = 1024 * 1024
DAY_S = 86_400
YEAR_S = 366 * DAY_S


def live(read: values.Reader, doc: str) -> Mapping[str, object]:
    """Metadata of a field that a reload takes up."""
    return {"read": read, "doc": doc, "live": True}


def restart(read: values.Reader, doc: str) -> Mapping[str, object]:
    """Metadata of a field that needs a restart."""
    return {"read": read, "doc": doc, "live": False}

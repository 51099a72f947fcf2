# SPDX-License-Identifier: MIT
"""``tessmon files status``."""

from __future__ import annotations

import time
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from tessmon.cli.arguments import print_json
from tessmon.cli.connecting import connected
from tessmon.cli.files import configured
from tessmon.cli.table import duration, moment, size, table

if TYPE_CHECKING:
    from tessmon.files.survey import DeviceSurvey

_TITLES = ["device", "last record (UTC)", "lag", "pending", "rejects", "files"]


def run(arguments: Namespace) -> int:
    """Each device on a line, and all together."""
    from tessmon.database.session import PlainSession, at_once
    from tessmon.files.survey import survey, totals

    _, settings = configured(arguments)
    with connected(arguments) as database:
        devices = at_once(survey(PlainSession(database), settings, time.time_ns()))
    whole = totals(devices)
    if arguments.json:
        print_json({"devices": [_plain(each) for each in devices], "total": _plain(whole)})
    elif not devices:
        print(
            f"no telemetry files in {', '.join(map(str, settings.directories))}, and none of {settings.host} known"
        )
    else:
        rows = [_row(each) for each in devices]
        print(table(_TITLES, [*rows, _row(whole, "all")]))
    return 0


def _row(device: DeviceSurvey, name: str | None = None) -> tuple[object, ...]:
    return (
        name or device.device,
        None if device.last_at is None else moment(device.last_at),
        None if device.lag_s is None else duration(device.lag_s),
        size(device.pending_bytes) if device.pending_files else "-",
        device.rejects,
        device.files,
    )


def _plain(device: DeviceSurvey) -> dict[str, Any]:
    return {
        "device": device.device or None,
        "last_at": None if device.last_at is None else device.last_at.isoformat(),
        "lag_s": device.lag_s,
        "pending_bytes": device.pending_bytes,
        "pending_files": device.pending_files,
        "rejects": device.rejects,
        "files": device.files,
        "size_bytes": device.size_bytes,
    }

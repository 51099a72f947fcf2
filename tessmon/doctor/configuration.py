# SPDX-License-Identifier: MIT
"""The configuration, and whether the running service has the same one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tessmon.config.load import Loaded
from tessmon.control.client import AdminError, NotRunningError, ask, tell
from tessmon.database.schema import program_version
from tessmon.doctor.finding import Finding, Wishes, fault, not_checked, ok, warning
from tessmon.doctor.patience import Patience

LIMIT_S = 20.0

_ANSWER_S = 5.0


def look(wishes: Wishes, patience: Patience) -> Iterator[Finding]:
    """What can't be loaded at all is told by the command, before any check."""
    loaded = wishes.loaded
    yield _file(loaded)
    yield from _service(loaded, patience)


def _file(loaded: Loaded) -> Finding:
    if loaded.path is None:
        return warning(
            "configuration", "there is no file, all values are defaults", "run tessmon config init"
        )
    return ok("configuration", f"{loaded.path} is good")


def _service(loaded: Loaded, patience: Patience) -> Iterator[Finding]:
    try:
        status = ask(loaded.config.admin.socket, "/status", patience.left_s(_ANSWER_S))
    except NotRunningError as error:
        yield not_checked("service", str(error))
        return
    except AdminError as error:
        yield fault("service", str(error))
        return
    found = (
        f"tessmon {status['version']}, process {status['pid']}, {status['state']}: {status['ready_detail']}"
    )
    if status["ready"]:
        yield ok("service", found)
    elif status["state"] == "paused":
        yield warning("service", found, "end it with tessmon resume")
    else:
        yield fault("service", found, "see tessmon status and its log")
    yield _as_in_file(loaded, status, patience)


def _as_in_file(loaded: Loaded, status: dict[str, Any], patience: Patience) -> Finding:
    """By a reload that is not done; a service of another version may not know that there is such a thing."""
    subject, theirs = "service configuration", status["config"]["path"]
    if (loaded.path and loaded.path.resolve()) != (theirs and Path(theirs).resolve()):
        return warning(
            subject,
            f"the service reads {theirs or 'no file'}, and this is about {loaded.path or 'no file'}",
            f"run tessmon --config {theirs} doctor" if theirs else "restart the service with this file",
        )
    if status["version"] != program_version():
        version = program_version()
        return warning(subject, f"this tessmon is {version}, the service another one", "restart the service")
    try:
        changes = tell(
            loaded.config.admin.socket, "/reload", "tessmon doctor", patience.left_s(_ANSWER_S), dry_run=True
        )["said"]
    except AdminError as error:
        return warning(
            subject, f"the service would not take the file: {error}", "correct it or restart the service"
        )
    if changes:
        return warning(subject, f"the file says otherwise: {'; '.join(changes)}", "run tessmon reload")
    return ok(subject, "the service does what the file says")

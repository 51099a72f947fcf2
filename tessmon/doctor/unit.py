# SPDX-License-Identifier: MIT
"""What the service is exposed to, and exposes: systemd's sandbox, secrets, admin socket, web face."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tessmon.config.load import Loaded
from tessmon.config.model import Config
from tessmon.config.secrets import check_mode, is_credential, without_secrets
from tessmon.doctor.finding import Finding, Wishes, fault, not_checked, ok, warning
from tessmon.doctor.patience import Patience
from tessmon.doctor.reach import is_loopback

LIMIT_S = 30.0

UNIT = "tessmon.service"
_HIGHEST_EXPOSURE = 1.5
"""The unit that comes with tessmon stays below it, from 0 (safe) to 10."""
_UNIT_DIRECTORIES = tuple(
    map(
        Path,
        (
            "/etc/systemd/system",
            "/run/systemd/system",
            "/usr/local/lib/systemd/system",
            "/usr/lib/systemd/system",
        ),
    )
)
_OWN = Path(__file__).parents[2] / "etc" / "systemd" / UNIT
"""In a directory of sources."""
_EXPOSURE = re.compile(r"Overall exposure level for .*?: ([0-9.]+)")


def look(wishes: Wishes, patience: Patience) -> Iterator[Finding]:
    """Reads modes and asks systemd; opens nothing."""
    yield _exposure([*(place / UNIT for place in _UNIT_DIRECTORIES), _OWN], patience)
    yield _secrets(wishes.loaded)
    yield admin_socket(wishes.loaded.config.admin.socket)
    yield _web(wishes.loaded.config)


def _exposure(places: list[Path], patience: Patience) -> Finding:
    program = shutil.which("systemd-analyze")
    if program is None:
        return not_checked("unit", "this machine has no systemd-analyze")
    unit = next((place for place in places if place.exists()), None)
    if unit is None:
        return not_checked("unit", f"no {UNIT} is installed")
    return exposure_of(program, unit, patience)


def exposure_of(program: str, unit: Path, patience: Patience) -> Finding:
    """Of a unit file, by ``systemd-analyze security``; its drop-ins count where it is installed."""
    answer = subprocess.run(
        [program, "security", "--offline=yes", "--no-pager", unit],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=patience.left_s(15),
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0"},
    )
    match = _EXPOSURE.search(answer.stdout)
    if match is None:
        told = (answer.stderr.strip() or answer.stdout.strip() or "nothing").splitlines()[-1]
        return not_checked("unit", f"systemd-analyze can't judge {unit}: {told}")
    found = f"exposure of {unit} is {match[1]} of 10"
    if float(match[1]) > _HIGHEST_EXPOSURE:
        return warning(
            "unit", found, f"see systemd-analyze security {unit}, or install the unit that comes with tessmon"
        )
    return ok("unit", found)


def _secrets(loaded: Loaded) -> Finding:
    """Files with secrets were looked at when the configuration was loaded; a unit's credentials are systemd's."""
    config, subject = loaded.config, "unit secrets"
    named = [config.database.password_file]
    if config.mqtt is not None:
        named += [config.mqtt.password_file, config.mqtt.key_file]
    if without_secrets(config.database.dsn) != config.database.dsn:
        named.append(loaded.path)
    files = [file for file in named if file is not None]
    faults = []
    for file in files:
        if not is_credential(file):
            try:
                check_mode(file)
            except ValueError as error:
                faults.append(str(error))
    if faults:
        return fault(subject, "; ".join(faults))
    if not files:
        return ok(subject, "none is configured")
    return ok(subject, f"nobody else gets at {', '.join(map(str, files))}")


def admin_socket(path: Path) -> Finding:
    """Who may open it may pause and reload the service."""
    subject = "unit admin socket"
    try:
        status = path.lstat()
        above = path.parent.stat()
    except FileNotFoundError:
        return not_checked(subject, f"{path} is not there: no service runs")
    except OSError as error:
        return not_checked(subject, f"{path} can't be looked at: {error.strerror}")
    if not stat.S_ISSOCK(status.st_mode):
        return fault(subject, f"{path} is no socket", "move it away, or set another [admin] socket")
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o002 and above.st_mode & 0o001:
        return fault(
            subject, f"everybody may steer the service: {path} has mode {mode:04o}", f"chmod 600 {path}"
        )
    return ok(subject, f"{path} has mode {mode:04o}")


def _web(config: Config) -> Finding:
    subject = "unit web"
    if config.web.address is None:
        return ok(subject, "the web face is off")
    host, port = config.web.address
    found = f"listens on {host or 'all addresses'}, port {port}"
    if is_loopback(host):
        return ok(subject, found)
    return warning(subject, f"{found}: everybody there can read it", "listen on 127.0.0.1 behind a proxy")

# SPDX-License-Identifier: MIT
"""Where things live by default: for a service (systemd or root) and for an ordinary user."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

SERVICE_CONFIGURATION = Path("/etc/tessmon/tessmon.toml")
SERVICE_STATE = Path("/var/lib/tessmon")
SERVICE_RUNTIME = Path("/run/tessmon")
ADMIN_SOCKET = "admin.sock"


def is_service() -> bool:
    """Whether this process is a system service: started by systemd with directories of its own, or root."""
    return "STATE_DIRECTORY" in os.environ or "RUNTIME_DIRECTORY" in os.environ or os.geteuid() == 0


def default_configuration() -> Path:
    """The file that is read when none is named; it need not exist."""
    if is_service():
        return SERVICE_CONFIGURATION
    return _user_directory("XDG_CONFIG_HOME", ".config") / "tessmon.toml"


def default_state_directory() -> Path:
    """Where journals live."""
    if is_service():
        return _first_of("STATE_DIRECTORY", SERVICE_STATE)
    return _user_directory("XDG_STATE_HOME", ".local/state")


def default_admin_socket() -> Path:
    """Where the service listens for the ``tessmon`` command."""
    if is_service():
        return _first_of("RUNTIME_DIRECTORY", SERVICE_RUNTIME) / ADMIN_SOCKET
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        return Path(runtime) / "tessmon" / ADMIN_SOCKET
    return Path(tempfile.gettempdir()) / f"tessmon-{os.geteuid()}" / ADMIN_SOCKET


def _first_of(variable: str, otherwise: Path) -> Path:
    """systemd gives several directories with colons between them."""
    first = os.environ.get(variable, "").split(":")[0]
    return Path(first) if first else otherwise


def _user_directory(variable: str, below_home: str) -> Path:
    """An XDG base directory; a relative one is ignored, as the XDG specification wants it."""
    base = os.environ.get(variable, "")
    return (Path(base) if base.startswith("/") else Path.home() / below_home) / "tessmon"

# SPDX-License-Identifier: MIT
"""Where the running service is found, and in whose name it is spoken to."""

from __future__ import annotations

import getpass
import re
from argparse import Namespace
from pathlib import Path

from tessmon.cli.arguments import configuration
from tessmon.errors import ConfigurationError

_SOCKET = re.compile(r"""^\s*\[admin\][^\[]*?^\s*socket\s*=\s*["']([^"'\\]+)["']""", re.MULTILINE)


def admin_socket(arguments: Namespace) -> Path:
    """The running service's socket. A configuration that is wrong by now keeps nobody from the service, which runs
    with what the file said before: of such a file only the socket is wanted.

    Raises:
        ConfigurationError: the configuration can't be used, and there is no socket to be found in spite of it.
    """
    try:
        return configuration(arguments).config.admin.socket
    except ConfigurationError:
        found = _in_spite(arguments.config)
        if found is None:
            raise
        return found


def user() -> str:
    """Who runs this command."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in some containers
        return "tessmon command"


def _in_spite(given: Path | None) -> Path | None:
    from tessmon.config.places import default_admin_socket, default_configuration

    path = given or default_configuration()
    try:
        written = _SOCKET.search(path.read_text(errors="replace"))
    except OSError:
        written = None
    socket = default_admin_socket() if written is None else path.absolute().parent / written[1]
    return socket if socket.is_socket() else None

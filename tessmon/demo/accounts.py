# SPDX-License-Identifier: MIT
"""Who runs a server when we are root, and directories that this user can reach."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple, TypedDict

from tessmon.errors import TessmonError


class ServerError(TessmonError):
    """A server of the demo can't be started or stopped; the text is one sentence that says why."""


class Account(NamedTuple):
    """An unprivileged user of this system."""

    name: str
    uid: int
    gid: int


class AsUser(TypedDict, total=False):
    """What subprocess wants to run something as another user."""

    user: int
    group: int
    extra_groups: list[int]


def as_user(account: Account | None) -> AsUser:
    """Arguments for subprocess, empty for None."""
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


def unprivileged_account(*preferred: str) -> Account | None:
    """Who runs a server in our place.

    Args:
        preferred: user names, best first; ``nobody`` is added.

    Returns:
        None when we are not root, and so run it ourselves.

    Raises:
        ServerError: we are root and none of the users exists.
    """
    if os.geteuid() != 0:
        return None
    for name in (*preferred, "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise ServerError(
        f"root can't run this server and there is no user {' or '.join((*preferred, 'nobody'))}"
    )


def new_directory(prefix: str = "tessmon-") -> Path:
    """A new directory under the system's temporary one, which other users can walk through but not list.

    Root's servers run as another user, who has to reach their own directories in it; secrets need mode 0600.
    """
    directory = Path(tempfile.mkdtemp(prefix=prefix)).resolve()
    directory.chmod(0o711)
    return directory


def make_reachable(directory: Path, account: Account | None) -> None:
    """Make ``directory`` where it is missing, and make sure that ``account`` can walk into it.

    Raises:
        ServerError: it can't, because of a directory that is not ours to open.
    """
    if not directory.exists():
        directory.mkdir(parents=True)
        directory.chmod(0o711 if account else 0o700)
    if account is None:
        return
    walk = ["/bin/sh", "-c", 'cd "$1"', "sh", str(directory)]
    if subprocess.run(walk, cwd="/", stderr=subprocess.DEVNULL, check=False, **as_user(account)).returncode:
        raise ServerError(
            f"the server can't run as root, and the user {account.name} may not enter {directory}: "
            "choose a directory below one that everybody may enter, as /tmp is"
        )


def private_directory(directory: Path, account: Account | None) -> Path:
    """``directory`` with mode 0700, made where it is missing, owned by the server's user."""
    directory.mkdir(mode=0o700, exist_ok=True)
    if account is not None:
        os.chown(directory, account.uid, account.gid)
    return directory

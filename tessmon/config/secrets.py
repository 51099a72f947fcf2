# SPDX-License-Identifier: MIT
"""Secrets are files: their mode is checked, their text never shown."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

CREDENTIAL = "credential:"
"""A path that begins so names a systemd credential (Source: systemd.exec(5), ``LoadCredential=``)."""

_MAX_SECRET_BYTES = 65_536
_IN_DSN = re.compile(r"(password\s*=\s*)('(?:[^'\\]|\\.)*'|(?:[^\s\\]|\\.)+)", re.IGNORECASE)
_IN_URL = re.compile(r"(://[^/@:\s]*:)[^@\s]*(?=@)")
_IN_QUERY = re.compile(r"([?&](?:ssl)?password=)[^&\s]*", re.IGNORECASE)


def is_credential(path: Path) -> bool:
    """Whether a configured path names a systemd credential instead of a file."""
    return str(path).startswith(CREDENTIAL)


def secret_path(path: Path) -> Path:
    """The file that a configured path means.

    Raises:
        ValueError: it names a credential, and systemd gave this process none.
    """
    if not is_credential(path):
        return path
    name = str(path).removeprefix(CREDENTIAL)
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise ValueError(f"{path} needs a service that systemd starts with LoadCredential={name}")
    return Path(directory) / name


def check_mode(path: Path) -> None:
    """Refuse a secret that others can get at.

    Its owner alone may read it; a file of root's may be readable to its group too, as packages install them.

    Raises:
        ValueError: one sentence for the operator; a missing file is refused as well.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path} is not a file")
    mode = stat.S_IMODE(status.st_mode)
    allowed = 0o740 if status.st_uid == 0 else 0o700
    if mode & ~allowed:
        raise ValueError(f"{path} has mode {mode:04o}, others may get at the secret: run chmod 600 {path}")


def read_secret(path: Path) -> str:
    """The text of a configured secret, without the line end behind it.

    Raises:
        ValueError: others can get at it, or it is empty, too long, not UTF-8 or not readable.
    """
    path = secret_path(path)
    check_mode(path)
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}") from error
    if len(raw) > _MAX_SECRET_BYTES:
        raise ValueError(f"{path} is longer than {_MAX_SECRET_BYTES} bytes, no secret is")
    try:
        secret = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text") from error
    if not secret or "\0" in secret:
        raise ValueError(f"{path} is empty or holds a NUL character")
    return secret


def without_secrets(text: str) -> str:
    """A DSN or URL with its passwords masked."""
    text = _IN_DSN.sub(r"\1***", text)
    text = _IN_URL.sub(r"\1***", text)
    return _IN_QUERY.sub(r"\1***", text)

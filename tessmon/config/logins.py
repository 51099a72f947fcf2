# SPDX-License-Identifier: MIT
"""Names and passwords for web servers, in a file: YAML as vlbimon-bridge has it, or TOML.

In YAML::

    vlbimon1.example.org:
      basicauth:
        - Your Name
        - Your Password

In TOML::

    ["vlbimon1.example.org"]
    basicauth = ["Your Name", "Your Password"]

``digestauth`` in place of ``basicauth`` never shows the password to the server. No sentence here quotes the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tessmon.config.secrets import read_secret

BASIC, DIGEST = "basicauth", "digestauth"


class Login(NamedTuple):
    """How to say who we are: `BASIC` or `DIGEST`, name, password."""

    scheme: str
    name: str
    password: str

    def __repr__(self) -> str:
        """Without the password, so that no traceback has it."""
        return f"Login({self.scheme!r}, {self.name!r})"


def read_logins(path: Path) -> Mapping[str, Login]:
    """Host, or host:port → login.

    Raises:
        ValueError: others can get at the file, or it is not what it should be; one sentence.
    """
    document = _parsed(read_secret(path), path)
    if not isinstance(document, dict):
        raise ValueError(f"{path} must name hosts, with {BASIC} or {DIGEST} below each")
    return {str(host).lower(): _login(path, str(host), below) for host, below in document.items()}


def login_for(logins: Mapping[str, Login], url: str) -> Login | None:
    """The login for a server; what names its port goes first."""
    parts = urlsplit(url)
    return logins.get(parts.netloc.lower()) or logins.get(parts.hostname or "")


def _parsed(text: str, path: Path) -> Any:
    """TOML, or else YAML: no text of the one form is a table of hosts in the other."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        if path.suffix == ".toml":
            raise ValueError(f"{path} is no TOML: {error}") from None
    try:
        import yaml  # only for those who have such a file
    except ImportError:
        raise ValueError(
            f"{path} is not TOML, and reading YAML needs PyYAML: install it (python3-yaml) or write TOML"
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", see line {mark.line + 1}" if mark else ""
    except (ValueError, RecursionError):
        place = ""
    raise ValueError(f"{path} is neither YAML nor TOML{place}")


def _login(path: Path, host: str, below: object) -> Login:
    if not isinstance(below, dict) or len(below) != 1 or not set(below) <= {BASIC, DIGEST}:
        raise ValueError(f"{path} must have {BASIC} or {DIGEST} for {host}, and nothing else")
    [(scheme, pair)] = below.items()
    if not isinstance(pair, list) or len(pair) != 2:
        raise ValueError(f"{path} must have a name and a password in the {scheme} of {host}")
    if not all(isinstance(each, str) and each for each in pair):
        raise ValueError(f"{path} has a name or password for {host} that is no text: put it in quotes")
    name, password = pair
    if any(ord(each) < 0x20 or ord(each) == 0x7F for each in name + password):
        raise ValueError(f"{path} has a control character in the name or password for {host}")
    if scheme == BASIC and ":" in name:
        raise ValueError(f"{path} has a colon in the name for {host}, which {BASIC} can't carry")
    if scheme == DIGEST and not name.isascii():
        raise ValueError(
            f"{path} has a name for {host} that is not ASCII, which {DIGEST} can't carry: use {BASIC}"
        )
    return Login(scheme, name, password)

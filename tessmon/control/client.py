# SPDX-License-Identifier: MIT
"""Asks the running service over its admin socket; plain and synchronous, for the command line and scripts."""

from __future__ import annotations

import http.client
import json
import os
import socket
from pathlib import Path
from typing import Any

from tessmon.errors import TessmonError

TIMEOUT_S = 10.0
_MAX_ANSWER_BYTES = 4 << 20


class NotRunningError(TessmonError):
    """No service answers on the admin socket."""


class AdminError(TessmonError):
    """The service refused what was asked of it, or did not answer as one."""


class NoAnswerError(AdminError):
    """The service did not answer in time; whether it does what was asked is not known."""


def ask(path: Path, target: str, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """What the service says.

    Args:
        path: the admin socket.
        target: "/status" or "/journal".
        timeout_s: for each step of the exchange [s].

    Raises:
        NotRunningError: nobody answers there.
        NoAnswerError: it did not answer in time.
        AdminError: it answered with a refusal, or not as a service does.
    """
    return _exchange(path, "GET", target, None, timeout_s)


def tell(
    path: Path, target: str, who: str, timeout_s: float = TIMEOUT_S, **wish: str | float | None
) -> dict[str, Any]:
    """Have the service do something and wait until it is done.

    Args:
        path: the admin socket.
        target: "/pause", "/resume" and so on.
        who: whose wish it is, for the service's log and status.
        timeout_s: for each step of the exchange [s].
        wish: what else there is to say, see `tessmon.control.admin.Wish`.

    Raises:
        NotRunningError: nobody answers there.
        NoAnswerError: it did not answer in time.
        AdminError: it answered with a refusal, or not as a service does.
    """
    return _exchange(path, "POST", target, json.dumps({"who": who, **wish}), timeout_s)


class _UNIXConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path
        self._timeout_s = timeout_s

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._timeout_s)
        self.sock.connect(os.fspath(self._path))


def _exchange(path: Path, method: str, target: str, body: str | None, timeout_s: float) -> dict[str, Any]:
    connection = _UNIXConnection(path, timeout_s)
    try:
        connection.request(method, target, body)
        response = connection.getresponse()
        return _answer(path, response.status, response.read(_MAX_ANSWER_BYTES))
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NotRunningError(
            f"no service answers at {path}: is it running? start it with `tessmon run`"
        ) from error
    except PermissionError as error:
        raise AdminError(
            f"you may not use {path}: ask as the user that runs the service, or as root"
        ) from error
    except TimeoutError as error:
        raise NoAnswerError(
            f"the service at {path} gave no answer in {timeout_s:g} s; look into its log"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise AdminError(f"the service at {path} broke off ({error or type(error).__name__})") from error
    finally:
        connection.close()


def _answer(path: Path, status: int, body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise AdminError(f"what answers at {path} is no tessmon service; look at [admin] socket")
    if status != 200:
        raise AdminError(str(parsed.get("error", f"the service refused with {status}")))
    return parsed

# SPDX-License-Identifier: MIT
"""Runs a command as a unit lets it: its filter of system calls and socket families, by the library systemd takes.

Run as ``python tests/etc/filtered.py UNIT COMMAND...``. Source: systemd.exec(5), seccomp_rule_add(3).
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.etc.unit import Unit

_ALLOW, _EPERM = 0x7FFF0000, 0x00050001
_EQUAL, _NO_SUCH_CALL = 4, -1


class _Compare(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_void_p,
    ]
    return library


def calls_of(name: str) -> set[str]:
    """A system call by itself, or those of a group as ``@system-service``."""
    if not name.startswith("@"):
        return {name}
    answer = subprocess.run(
        ["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True
    ).stdout
    members = [line.strip() for line in answer.splitlines()[1:] if line.strip() and "#" not in line]
    return {call for member in members for call in calls_of(member)}


def allowed(unit: Unit) -> set[str]:
    """What is left of the unit's lines, one after the other; the first one allows."""
    calls: set[str] = set()
    for line in unit.all("SystemCallFilter"):
        named = {call for name in line.removeprefix("~").split() for call in calls_of(name)}
        calls = calls - named if line.startswith("~") else calls | named
    return calls | calls_of("@default")


def enter(unit: Unit) -> None:
    """From here on only these."""
    library = _library()
    rules = ctypes.c_void_p(library.seccomp_init(_EPERM))
    for call in allowed(unit) - {"socket"}:
        number = library.seccomp_syscall_resolve_name(call.encode())
        if number != _NO_SUCH_CALL:
            library.seccomp_rule_add_array(rules, _ALLOW, number, 0, None)
    for name in unit.one("RestrictAddressFamilies").split():
        family = _Compare(0, _EQUAL, int(getattr(socket, name)), 0)
        number = library.seccomp_syscall_resolve_name(b"socket")
        assert library.seccomp_rule_add_array(rules, _ALLOW, number, 1, ctypes.byref(family)) == 0
    assert library.seccomp_load(rules) == 0


if __name__ == "__main__":
    enter(Unit(Path(sys.argv[1])))
    os.execvp(sys.argv[2], sys.argv[2:])

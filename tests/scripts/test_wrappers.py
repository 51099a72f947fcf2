# SPDX-License-Identifier: MIT
"""The wrappers as a shell runs them: what they ask of the service, and with which code they end."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail
from twisted.internet.threads import deferToThread

from tessmon.control.admin import AdminSocket
from tessmon.errors import TessmonError
from tests.observatory import wait_for
from tests.operating import ROOT, shell_with_tessmon
from tests.standin import PlainFace

DEADLINE_S = 60


class Shell:
    """Runs wrappers where ``tessmon`` is found, beside a coordinator that remembers what it was asked."""

    def __init__(self, directory: Path, face: PlainFace) -> None:
        self.face = face
        self.directory = directory
        self.environment = shell_with_tessmon(directory / "bin")
        self.config = directory / "tessmon.toml"
        self.config.write_text(f'[admin]\nsocket = "{directory}/admin.sock"\n')

    def command(self, name: str, *arguments: str) -> list[str]:
        return [str(ROOT / "scripts" / f"tessmon_{name}"), "--config", str(self.config), *arguments]

    def run(self, name: str, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(name, *arguments),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            env=self.environment,
            check=False,
            **settings,
        )

    def start(self, *arguments: str, **settings: Any) -> subprocess.Popen[bytes]:
        """Signals as a shell has them: what nohup made us ignore no program of ours could trap."""
        command = ["env", "--default-signal", *self.command("maintenance", *arguments)]
        return subprocess.Popen(command, env=self.environment, **settings)

    @property
    def asked(self) -> list[str]:
        """The commands, without whose wish they were."""
        return [each.split()[0] for each in self.face.asked]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    face = PlainFace()
    admin = AdminSocket(reactor, face, tmp_path / "admin.sock")
    admin.startService()
    yield Shell(tmp_path, face)
    pytest_twisted.blockon(admin.stopService())


@pytest_twisted.ensureDeferred
async def test_each_wrapper_asks_for_what_it_is_called(shell: Shell) -> None:
    for name, arguments in (("pause", ["--for", "2h"]), ("resume", []), ("reload", ["--dry-run"])):
        finished = await deferToThread(shell.run, name, *arguments)
        assert finished.returncode == 0, finished.stderr
    assert shell.asked == ["pause", "resume", "reload,"]
    finished = await deferToThread(shell.run, "pause", "--for", "soon")
    assert finished.returncode == 2
    linked = shell.directory / "tessmon_resume"  # as in /usr/local/bin
    linked.symlink_to(ROOT / "scripts" / "tessmon_resume")
    finished = await deferToThread(
        subprocess.run, [linked, "--help"], env=shell.environment, capture_output=True, text=True
    )
    assert "usage: tessmon resume" in finished.stdout


@pytest.mark.parametrize("verb", ["stop", "restart"])
@pytest_twisted.ensureDeferred
async def test_where_systemd_runs_the_service_systemd_is_asked_after_a_flush(shell: Shell, verb: str) -> None:
    """What stands in for systemd says which process it runs, and notes what it is told."""
    systemctl = shell.directory / "bin" / "systemctl"
    told = shell.directory / "told"
    systemctl.write_text(f'#!/bin/sh\n[ "$1" = show ] && echo 4711 || echo "$@" >>"{told}"\n')
    systemctl.chmod(0o755)
    finished = await deferToThread(shell.run, verb)
    assert finished.returncode == 0, finished.stderr
    assert told.read_text() == f"{verb} tessmon.service\n"
    assert shell.asked == ["flush"]
    systemctl.write_text("#!/bin/sh\n[ $1 = show ] && echo 4711 || exit 5\n")
    assert (await deferToThread(shell.run, verb)).returncode == 1
    systemctl.write_text("#!/bin/sh\n[ $1 = show ] && echo 0\n")  # another process than that of the unit
    await deferToThread(shell.run, verb, "--timeout", "1")
    assert shell.asked[-1] == verb


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -9 $$"], 137),
        (["no-such-command"], 127),
        (["/etc/passwd"], 126),
        (["--", "echo", "--config"], 0),
    ],
    ids=lambda value: str(value).replace("/", "."),
)
@pytest_twisted.ensureDeferred
async def test_maintenance_ends_as_its_command_does_and_resumes(
    shell: Shell, command: list[str], code: int
) -> None:
    finished = await deferToThread(shell.run, "maintenance", *command)
    assert finished.returncode == code, finished.stderr
    assert shell.asked == ["pause", "resume"]
    paused, resumed = shell.face.asked
    name = paused.removeprefix("pause ")
    assert resumed == f"resume {name} only by {name}"
    assert f"tessmon_maintenance {os.getpid()}" not in name  # its own number, not ours
    assert finished.stdout == ("--config\n" if "echo" in command else "")


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_paused_is_not_maintained(shell: Shell) -> None:
    shell.face.pausing = fail(TessmonError("not today"))
    finished = await deferToThread(shell.run, "maintenance", "touch", str(shell.directory / "done"))
    assert finished.returncode == 1
    assert "not today" in finished.stderr
    assert shell.asked == ["pause", "resume"]
    assert not (shell.directory / "done").exists()


@pytest.mark.parametrize("arguments", [[], ["--nonsense", "true"], ["--config"]], ids=str)
def test_maintenance_without_a_command_says_how_it_is_used(arguments: list[str]) -> None:
    finished = subprocess.run(
        [ROOT / "scripts" / "tessmon_maintenance", *arguments], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 2
    assert finished.stderr.startswith("usage: tessmon_maintenance")


@pytest_twisted.ensureDeferred
async def test_maintenance_gives_its_command_the_input(shell: Shell) -> None:
    finished = await deferToThread(shell.run, "maintenance", "cat", input="SELECT 1;\n")
    assert finished.stdout == "SELECT 1;\n"


def begun(shell: Shell) -> None:
    wait_for(lambda: (shell.directory / "begun").exists(), "the command to begin")


@pytest.mark.parametrize(
    ("trapped", "sent", "code"),
    [("", signal.SIGTERM, 143), ("", signal.SIGHUP, 129), ("trap 'exit 3' TERM;", signal.SIGTERM, 3)],
)
@pytest_twisted.ensureDeferred
async def test_a_signal_ends_the_command_and_not_the_promise_to_resume(
    shell: Shell, trapped: str, sent: signal.Signals, code: int
) -> None:
    script = f"{trapped} touch {shell.directory}/begun; while :; do sleep 0.05; done"
    process = shell.start("sh", "-c", script)
    await deferToThread(begun, shell)
    process.send_signal(sent)
    assert await deferToThread(process.wait, DEADLINE_S) == code
    assert shell.asked == ["pause", "resume"]


@pytest_twisted.ensureDeferred
async def test_control_c_ends_the_command_and_not_the_promise_to_resume(shell: Shell) -> None:
    controller, terminal = pty.openpty()

    def own_the_terminal() -> None:
        os.setsid()
        os.close(os.open(os.ttyname(terminal), os.O_RDWR))

    script = f"touch {shell.directory}/begun; read line; echo never"
    process = shell.start(
        "sh", "-c", script, stdin=terminal, stdout=terminal, stderr=terminal, preexec_fn=own_the_terminal
    )
    try:
        await deferToThread(begun, shell)
        os.write(controller, b"\x03")
        assert await deferToThread(process.wait, DEADLINE_S) == 130
        assert shell.asked == ["pause", "resume"]
    finally:
        process.kill()
        os.close(terminal)
        os.close(controller)


@pytest_twisted.ensureDeferred
async def test_a_signal_while_it_pauses_runs_no_command(shell: Shell) -> None:
    shell.face.pausing = Deferred()
    process = shell.start("touch", str(shell.directory / "done"))
    await deferToThread(wait_for, lambda: shell.face.asked, "the pause to be asked for")
    process.send_signal(signal.SIGTERM)
    shell.face.pausing.callback([])
    assert await deferToThread(process.wait, DEADLINE_S) == 143
    assert shell.asked == ["pause", "resume"]
    assert not (shell.directory / "done").exists()


def test_the_scripts_are_sound() -> None:
    """bash and sh read them; shellcheck, where there is one, finds no fault."""
    scripts = sorted(ROOT.glob("scripts/tessmon_*"))
    assert [script.name.removeprefix("tessmon_") for script in scripts] == [
        "maintenance",
        "pause",
        "reload",
        "restart",
        "resume",
        "stop",
    ]
    for script in scripts:
        assert os.access(script, os.X_OK)
        shell = "bash" if "bash" in script.read_text().splitlines()[0] else "sh"
        subprocess.run([shell, "-n", script], check=True, timeout=DEADLINE_S)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", *scripts], check=True, timeout=DEADLINE_S)

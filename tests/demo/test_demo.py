# SPDX-License-Identifier: MIT
"""``tessmon demo`` from its first process to its last: it balances, and whatever ends it leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tessmon.demo.guarded import children_of, wait_until

TIMEOUT_S = 120.0


class Demo:
    """A running ``tessmon demo`` and what it says."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.directory = directory / "demo"
        self.output = directory / "output"
        command = [sys.executable, "-m", "tessmon", "demo", "--plain", "--directory", str(self.directory)]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen([*command, *arguments], stdout=output, stderr=subprocess.STDOUT)

    def text(self) -> str:
        return self.output.read_text()

    def says(self, words: str) -> bool:
        """Whether it comes to say this."""
        return wait_until(lambda: words in self.text() or self.process.poll() is not None, TIMEOUT_S) and (
            words in self.text()
        )

    def family(self) -> list[int]:
        """The demo's children and theirs."""
        children = children_of(self.process.pid)
        return children + [grandchild for child in children for grandchild in children_of(child)]

    def end(self) -> int:
        return self.process.wait(TIMEOUT_S)


@pytest.fixture
def start(demo_directory: Path) -> Iterator[Callable[..., Demo]]:
    started: list[Demo] = []

    def start(*arguments: str) -> Demo:
        started.append(Demo(demo_directory, *arguments))
        return started[-1]

    yield start
    for demo in started:
        family = demo.family()
        if demo.process.poll() is None:
            demo.process.kill()
            demo.process.wait()
        assert wait_until(lambda: all(map(gone, family)), 30)  # noqa: B023


def gone(pid: int) -> bool:
    """Whether a process has ended, be it not yet buried by its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def counted(text: str, words: str) -> int:
    found = re.search(rf"(?m)^ *(\d+) {words}", text)
    assert found, text
    return int(found[1])


def test_demo_accounts_for_every_message_and_cleans_up(start: Callable[..., Demo]) -> None:
    demo = start("--for", "10")
    assert demo.end() == 0, demo.text()
    text = demo.text()
    assert "Every message is accounted for." in text
    assert counted(text, "messages sent") == counted(text, "accounted for") > 150
    assert counted(text, "readings stored as rows") > 80
    assert counted(text, "duplicates") >= 5
    assert counted(text, "filtered on purpose") >= 5
    for cause in ("not_json", "no_name", "conflict", "denied", "retained", "new", "changed", "rebooted"):
        assert re.search(rf"\b{cause} \d", text), f"nothing was {cause}:\n{text}"
    assert "unregistered" not in text, "the late photometer's readings are stored when it has registered"
    assert not demo.directory.exists()


def test_demo_runs_with_the_parts_that_are_asked_for(start: Callable[..., Demo]) -> None:
    demo = start("--for", "4", "--postgres", "system", "--broker", "iotcore", "--keep")
    assert demo.end() == 0, demo.text()
    assert "(iotcore)" in demo.text()
    assert (demo.directory / "service.log").stat().st_size > 0
    modes = {path.name: path.stat().st_mode & 0o777 for path in demo.directory.rglob("*password*")}
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_ends_the_photometers_counts_and_leaves_nothing(
    start: Callable[..., Demo], number: signal.Signals
) -> None:
    demo = start()
    assert demo.says(" s: sent"), demo.text()
    family = demo.family()
    assert len(family) > 5
    demo.process.send_signal(number)
    assert demo.end() == 0, demo.text()
    assert "Every message is accounted for." in demo.text()
    assert all(map(gone, family))
    assert not demo.directory.exists()


def test_interrupt_while_it_starts_leaves_nothing(start: Callable[..., Demo]) -> None:
    demo = start()
    assert demo.says("Everything is in"), demo.text()
    assert wait_until(lambda: bool(demo.family()), TIMEOUT_S)
    family = demo.family()
    demo.process.send_signal(signal.SIGINT)
    assert demo.end() == 1
    assert all(map(gone, family))
    assert not demo.directory.exists()


def test_kill_leaves_no_process(start: Callable[..., Demo]) -> None:
    demo = start()
    assert demo.says(" s: sent"), demo.text()
    family = demo.family()
    assert len(family) > 5
    demo.process.kill()
    demo.process.wait()
    assert wait_until(lambda: all(map(gone, family)), 30), [pid for pid in family if not gone(pid)]


def test_death_of_the_service_is_told_and_the_logs_are_kept(start: Callable[..., Demo]) -> None:
    demo = start()
    assert demo.says(" s: sent"), demo.text()
    (service,) = [
        pid
        for pid in children_of(demo.process.pid)
        if b"\0run\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(service, signal.SIGKILL)
    assert demo.end() == 1
    assert "the service ended; see" in demo.text()
    assert (demo.directory / "service.log").exists()


def test_directory_in_use_is_refused(start: Callable[..., Demo], demo_directory: Path) -> None:
    (demo_directory / "demo").mkdir()
    (demo_directory / "demo" / "mine").touch()
    demo = start("--for", "1")
    assert demo.end() == 1
    assert "is there and not empty" in demo.text()
    assert (demo_directory / "demo" / "mine").exists()


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "inf"])
def test_wrong_usage_is_told_with_exit_code_2(start: Callable[..., Demo], seconds: str) -> None:
    demo = start("--for", seconds)
    assert demo.end() == 2
    assert "no time in seconds" in demo.text()

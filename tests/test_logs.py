# SPDX-License-Identifier: MIT
"""Log lines never wait for who reads them; what is left out is counted."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tessmon.logs import Outlet

PAGE_BYTES = 4096
LINE = "x" * 99 + "\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """One of four pages: the end to read, which does not block, and the end to write."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 4 * PAGE_BYTES)
    yield reading, writing
    for end in (reading, writing):
        os.close(end)


def test_what_does_not_fit_is_left_out_and_counted(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    outlet = Outlet(writing)
    for _ in range(300):
        outlet.write(LINE)
    fitted = os.read(reading, 65_536).decode()
    assert fitted == LINE * (len(fitted) // len(LINE))
    assert outlet.lost == 300 - len(fitted) // len(LINE) > 0
    outlet.write(LINE)
    assert outlet.lost == 0
    loss, line = os.read(reading, 65_536).decode().splitlines(keepends=True)
    assert f"{300 - len(fitted) // len(LINE)} lines of the log were lost" in loss
    assert line == LINE


def test_a_line_that_was_cut_is_ended_before_the_next(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    outlet = Outlet(writing)
    outlet.write("y" * (5 * PAGE_BYTES) + "\n")
    assert os.read(reading, 65_536) == b"y" * 4 * PAGE_BYTES
    outlet.write(LINE)
    nothing, loss, line = os.read(reading, 65_536).decode().splitlines(keepends=True)
    assert nothing == "\n"
    assert " 1 lines of the log were lost" in loss
    assert line == LINE


def test_a_reader_that_is_gone_is_no_error(pipe: tuple[int, int]) -> None:
    _, writing = pipe
    reading, other = os.pipe()
    outlet = Outlet(other)
    os.close(reading)
    outlet.write(LINE)
    outlet.write(LINE)
    assert outlet.lost == 2
    os.dup2(writing, other)  # somebody reads again
    outlet.write(LINE)
    assert outlet.lost == 0
    os.close(other)


def test_a_socket_that_nobody_reads_holds_up_nothing() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        outlet = Outlet(ours.fileno())
        while not outlet.lost:
            outlet.write(LINE)
        theirs.setblocking(False)
        while outlet.lost:
            theirs.recv(1 << 20)
            outlet.write(LINE)


def test_a_file_takes_all_of_it_and_any_text(tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as file:
        outlet = Outlet(file.fileno())
        outlet.write("z" * 100_000 + "\n")
        outlet.write("mag/arcsec² \udcff\n")
    assert outlet.lost == 0
    assert (tmp_path / "log").read_bytes() == b"z" * 100_000 + b"\n" + "mag/arcsec² \\udcff\n".encode()

# SPDX-License-Identifier: MIT
"""Runs a Python program and tells where its CPU time goes: ``python -m tests.bench.sampled OUT python PROGRAM ARGS…``.

A timer of CPU time interrupts the main thread each millisecond and looks where it stands; the cost is a few percent,
and evenly spread, which a tracing profiler's is not. The journal's thread is told apart by the kernel's clock.
``OUT`` gets JSON at the end: CPU time [s] per room of the house and per function, of the main thread, and per thread.
`sampler` is a prefix for the service (see `Service.prefix`), and `table` makes µs per message of what it wrote.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

PERIOD_S = 0.001
_ROOMS = ("tessmon/", "paho/", "txpostgres/", "twisted/", "prometheus_client/")


class Sampler:
    """Counts where the main thread stands, in ticks of CPU time of the process."""

    def __init__(self) -> None:
        self.rooms: Counter[str] = Counter()
        self.functions: Counter[str] = Counter()
        signal.signal(signal.SIGPROF, self._tick)
        signal.siginterrupt(signal.SIGPROF, False)

    def begin(self) -> None:
        """Count from now on."""
        self.rooms.clear()
        self.functions.clear()
        signal.setitimer(signal.ITIMER_PROF, PERIOD_S, PERIOD_S)

    def _tick(self, _number: int, frame: FrameType | None) -> None:
        while frame is not None:
            code = frame.f_code
            for package in _ROOMS:
                at = code.co_filename.rfind("/" + package)
                if at >= 0:
                    self._count(code.co_filename[at + 1 :], package, code.co_name)
                    return
            frame = frame.f_back
        self.rooms["python"] += 1

    def _count(self, path: str, package: str, function: str) -> None:
        room = path.split("/")[1].removesuffix(".py") if package == "tessmon/" else package.rstrip("/")
        self.rooms[room] += 1
        self.functions[f"{path}:{function}"] += 1


def _threads_s() -> dict[str, float]:
    """CPU time per thread so far [s], by the kernel's number; the main thread has the process' own."""
    tick = os.sysconf("SC_CLK_TCK")
    times = {}
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        times[task.name] = (int(fields[11]) + int(fields[12])) / tick
    return times


def sampler(out: Path) -> list[str]:
    """What to put before the command of a Python program to have it sampled."""
    return [sys.executable, "-m", "tests.bench.sampled", str(out)]


def table(path: Path, messages: int, functions: int = 40) -> dict[str, Any]:
    """µs per message of what a sampled program wrote.

    Args:
        path: its OUT.
        messages: how many it took.
        functions: how many of the dearest to name.
    """
    found = json.loads(path.read_text())
    ticks = sum(found["rooms"].values())
    scale = found["cpu_s"] / ticks * 1e6 / messages if ticks else 0.0
    return {
        "cpu_us": round(found["cpu_s"] * 1e6 / messages, 2),
        "threads_us": {name: round(spent * 1e6 / messages, 2) for name, spent in found["threads_s"].items()},
        "rooms_us": {room: round(count * scale, 2) for room, count in found["rooms"].items()},
        "functions_us": {name: round(count * scale, 2) for name, count in found["functions"][:functions]},
    }


def main() -> None:
    out, program, arguments = Path(sys.argv[1]), sys.argv[3], sys.argv[4:]
    sampler = Sampler()
    sampler.begin()
    last_threads: dict[str, float] = {}

    def end() -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        out.write_text(
            json.dumps(
                {
                    "cpu_s": time.process_time(),
                    "threads_s": {**last_threads, **_threads_s()},
                    "rooms": dict(sampler.rooms.most_common()),
                    "functions": sampler.functions.most_common(),
                }
            )
        )

    atexit.register(end)
    sys.argv = [program, *arguments]
    sys.path.insert(0, str(Path(program).parent))
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()

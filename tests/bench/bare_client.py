# SPDX-License-Identifier: MIT
"""The ceiling of the end-to-end benches: a bare paho client with its own loop that acknowledges by hand, and does
nothing else. A process of its own; prints JSON lines: when it has subscribed, and what it counted."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho

_ROOT = Path(__file__).parent.parent.parent


class BareClient:
    """The child process, as its parent sees it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def wait_subscribed(self) -> None:
        """Until the broker sends it what comes."""
        self._wait("subscribed")

    def figures(self) -> dict[str, float]:
        """Until it has all; gives when the first and the last came [s since 1970], and its CPU time from the first
        on [s]."""
        return self._wait("first_s")

    def _wait(self, key: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word = dict(json.loads(line))
            if key in word:  # what was queued may come before the subscription is confirmed
                return word
        raise AssertionError("the bare client broke")


@contextmanager
def bare_client(port: int, client_id: str, count: int, arrivals: Path | None = None) -> Iterator[BareClient]:
    """A client that ends when it has so many messages; the broker keeps its session.

    Args:
        arrivals: where to write when each came [ns of the monotonic clock, eight bytes each].
    """
    command = [sys.executable, "-m", "tests.bench.bare_client", f"--port={port}", f"--client-id={client_id}"]
    command += [f"--count={count}", *([f"--arrivals={arrivals}"] if arrivals is not None else [])]
    process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            yield BareClient(process)
        finally:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--client-id", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--arrivals", type=Path)
    args = parser.parse_args()
    client = paho.Client(
        paho.CallbackAPIVersion.VERSION2, args.client_id, clean_session=False, manual_ack=True
    )
    left = args.count
    first_s = first_cpu_s = 0.0
    arrivals = array("q")

    def subscribed(*_args: object) -> None:
        print(json.dumps({"subscribed": True}), flush=True)
        if not args.count:
            client.disconnect()

    def took(_client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        nonlocal left, first_s, first_cpu_s
        if not first_s:
            first_s, first_cpu_s = time.time(), time.process_time()
        client.ack(message.mid, message.qos)
        if args.arrivals is not None:
            arrivals.append(time.monotonic_ns())
        left -= 1
        if not left:
            last_s = time.time()
            cpu_s = time.process_time() - first_cpu_s
            if args.arrivals is not None:
                args.arrivals.write_bytes(arrivals.tobytes())
            print(json.dumps({"first_s": first_s, "last_s": last_s, "cpu_s": cpu_s}), flush=True)
            client.disconnect()

    client.on_connect = lambda *_args: client.subscribe("STARS4ALL/+/reading", 1)
    client.on_subscribe = subscribed
    client.on_message = took
    client.connect("127.0.0.1", args.port)
    client.loop_forever()
    os._exit(0)


if __name__ == "__main__":
    main()

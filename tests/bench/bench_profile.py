# SPDX-License-Identifier: MIT
"""Where the microseconds of one message go, from the broker to its row: the service under a sampler.

Run as ``python -m tests.bench.bench_profile``; prints one JSON line with CPU time per message of each room of the
house, and of its dearest functions, while the service drains a full queue of the broker.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tessmon.demo.servers import Broker
from tests.bench import ground
from tests.bench.bench_end_to_end import EndToEnd
from tests.bench.sampled import sampler, table
from tests.postgres import Database

MESSAGES = 200_000


def measure(broker: Broker, database: Database, directory: Path, messages: int) -> dict[str, Any]:
    """One run; the start of the process is in it, so many messages make a true picture."""
    out = directory / "samples"
    run = EndToEnd(broker, database, directory, messages, prefix=sampler(out)).ours(queued=True)
    return {"name": "profile", "messages": messages, "rate": round(run.rate), **table(out, messages)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=MESSAGES)
    args = parser.parse_args()
    with ground.broker() as broker, ground.database("bench") as (database,), ground.directory() as directory:
        ground.register(database)
        ground.tell(measure(broker, database, directory, args.messages))


if __name__ == "__main__":
    main()

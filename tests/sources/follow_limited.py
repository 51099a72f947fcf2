# SPDX-License-Identifier: MIT
"""Follows a tree of eight directories in a user name space that may watch four of them, then all.

Prints the source's status under both, and what happened. Run as ``unshare --user --map-root-user python
tests/sources/follow_limited.py DIRECTORY``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import react

from tests.sources.following import Reader, name, until, write

LIMIT = Path("/proc/sys/user/max_inotify_watches")


async def follow(directory: Path) -> None:
    LIMIT.write_text("4")
    reader = await Reader(directory).start()
    known = [Path(each.path) for each in reader.seen]
    for path in known:
        write(path)
    new = write(directory / "new" / name("new"))
    await reader.sees(new)
    for path in known:
        await reader.sees(path, 2)
    print(json.dumps(reader.source.status()._asdict()))
    LIMIT.write_text("1000")
    await until(lambda: reader.source.status().state == "following")
    for path in [*known, new]:
        write(path, b"more")
    for path in [*known, new]:
        await reader.sees(path, path.stat().st_size)
    print(json.dumps(reader.source.status()._asdict()))
    print(json.dumps([each.what for each in reader.occurred]))
    await reader.stop()


def main(_reactor: Any) -> Any:
    return ensureDeferred(follow(Path(sys.argv[1])))


if __name__ == "__main__":
    react(main)

# SPDX-License-Identifier: MIT
"""The service with a vlbimon server and without a broker, and what of its points is in the database."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.observatory import Service, fetch, wait_for
from tests.postgres import Database
from tests.vlbimon_array import Received
from tests.vlbimon_server import VlbimonServer

PERIOD_S = 0.05
"""A poll each so often where processes are killed [s]."""
Key = tuple[str, str, int]
"""Parameter, station, whole second."""
_ROWS_SQL = """
SELECT q.parameter, p.station, p.time, p.stamp, p.kind, p.whole, p.number, p.word
FROM vlbimon_points AS p JOIN vlbimon_parameters AS q USING (parameter_id)
WHERE q.parameter !~ '^bridge_' AND q.parameter !~ '_(az|el|ra|dec)$'"""


def watching(directory: Path, server: VlbimonServer, database: Database, **tables: Any) -> Service:
    """A service that asks this server often; without a broker unless its table is given."""
    directory.mkdir(parents=True, exist_ok=True)
    vlbimon = {
        "servers": [server.url],
        "auth_file": str(server.auth_file(directory / "logins.yaml")),
        "period_s": PERIOD_S,
        "directory": str(directory),
        **tables.pop("vlbimon", {}),
    }
    service = Service(directory, "", database.dsn, vlbimon=vlbimon, **tables)
    service.journal = directory / "state" / "vlbimon"
    if "mqtt" not in tables:
        del service.tables["mqtt"]
    service.write_config()
    return service


@pytest.fixture
def service(tmp_path: Path, vlbimon_server: VlbimonServer, database: Database) -> Iterator[Service]:
    """One that asks the fixture's server."""
    made = watching(tmp_path / "service", vlbimon_server, database)
    yield made
    made.end()


def source(service: Service) -> dict[str, Any]:
    """The source at a glance."""
    status = service.status()
    assert status is not None, service.last_words()
    [found] = status["vlbimon"]
    assert found["state"] != "stopped", service.last_words()
    return dict(found)


def rows(database: Database) -> dict[Key, tuple[float, str]]:
    """What is stored of what stations sent: stamp, and the value with its type as text."""
    found = {}
    for parameter, station, time_s, stamp, *value in fetch(database.reader_dsn, _ROWS_SQL):
        key = parameter, station, time_s
        assert key not in found
        found[key] = stamp, _text(*value)
    return found


def _text(kind: str, whole: int | None, number: float | None, word: str | None) -> str:
    return repr({"b": whole == 1, "i": whole, "f": number, "t": word}[kind])


def expected(points: Iterable[Received]) -> dict[Key, tuple[float, str]]:
    """What these points are when all of them are stored: of one second, what was received last, and of equal values
    the latest stamp."""
    wanted: dict[Key, tuple[float, str]] = {}
    for point in points:
        key, stamp, value = (point.parameter, point.station, int(point.stamp)), point.stamp, repr(point.value)
        former_stamp, former_value = wanted.get(key, (stamp, value))
        wanted[key] = float(max(stamp, former_stamp) if value == former_value else stamp), value
    return wanted


def wait_stored(
    wanted: dict[Key, tuple[float, str]], database: Database, service: Service, timeout_s: float = 60.0
) -> None:
    """Until exactly these rows are there.

    Raises:
        AssertionError: they never are; the text has some that differ.
    """
    try:
        wait_for(lambda: rows(database) == wanted, f"{len(wanted)} rows", timeout_s)
    except AssertionError as error:
        found = rows(database)
        missing = [(key, wanted[key]) for key in wanted if key not in found]
        more = [(key, found[key]) for key in found if key not in wanted]
        other = [
            (key, found[key], wanted[key]) for key in found if key in wanted and found[key] != wanted[key]
        ]
        said = f"{len(missing)} missing {missing[:5]}, {len(more)} too many {more[:5]}, {len(other)} other {other[:5]}"
        raise AssertionError(f"{error}: {said}\n{service.last_words()}") from error


def swept(service: Service, timeout_s: float = 60.0) -> None:
    """Start it anew, which is when history is asked for, and wait until all that was there before is on disk.

    Raises:
        AssertionError: it never is.
    """
    if service.alive:
        service.stop()
    began_s = int(time.time())
    service.start()

    def whole() -> bool:
        found = source(service)
        return found["swept_s"] is not None and found["swept_s"] >= began_s and not found["sweeping"]

    wait_for(whole, f"a sweep up to {began_s}", timeout_s)


def events(database: Database) -> list[str]:
    """What happened, in order."""
    sql = "SELECT what FROM source_events WHERE source = 'vlbimon' ORDER BY event_id"
    return [what for (what,) in fetch(database.reader_dsn, sql)]


def wait_settled(service: Service) -> None:
    """Until all of the journal is in the database."""

    def settled() -> bool:
        status = service.status()
        assert status is not None, service.last_words()
        [journal], [lane] = status["journals"], status["lanes"]
        return lane["state"] == "idle" and lane["position"] == journal["newest"]

    wait_for(settled, "the lane to have all of the journal")


def sent(server: VlbimonServer) -> Counter[str]:
    """Station → pairs in all whole answers."""
    counted: Counter[str] = Counter()
    for asked in server.asked("snapshot", "history"):
        if asked.whole:
            counted.update(asked.pairs)
    return counted


def accounted(database: Database) -> Counter[str]:
    """Station → points that are accounted for, whatever became of them; the bridge's own are left out."""
    sql = (
        "SELECT subject, sum(stored + duplicate + filtered + rejected) FROM tallies "
        "WHERE lane = 'vlbimon' AND subject NOT IN ('', 'bridge') GROUP BY subject"
    )
    return Counter({station: int(count) for station, count in fetch(database.reader_dsn, sql)})

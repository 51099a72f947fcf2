# SPDX-License-Identifier: MIT
"""The model of the configuration: one frozen dataclass per TOML table.

Each field carries its reader, one sentence for the operator and whether a reload takes it up (live) or a
restart is needed. Constructors check nothing; `tessmon.config.load` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tessmon.config import values
from tessmon.config.inputs import Files, Mqtt, Vlbimon
from tessmon.config.metadata import DAY_S, MIB, YEAR_S, live, restart
from tessmon.config.places import default_admin_socket, default_state_directory

__all__ = ["DAY_S", "MIB", "YEAR_S", "Files", "Mqtt", "Vlbimon"]  # and all that is made here


@dataclass(frozen=True)
class Database:
    """Where PostgreSQL is."""

    dsn: str = field(
        default="dbname=tessmon",
        metadata=restart(
            values.some_text, "Connection string of libpq, key=value pairs or a postgresql:// URL."
        ),
    )
    password_file: Path | None = field(
        default=None,
        metadata=restart(
            values.secret_file, "File with the password; libpq's own ~/.pgpass works without it."
        ),
    )


@dataclass(frozen=True)
class Journal:
    """The durable logs of what sources took."""

    directory: Path = field(
        default_factory=default_state_directory,
        metadata=restart(values.path, "Directory of all journals; each source has one below it."),
    )
    max_bytes: int = field(
        default=8192 * MIB,
        metadata=restart(
            values.whole(MIB, 1 << 50),
            "What waits for the database may grow to this size, then the source takes no more [bytes].",
        ),
    )
    min_free_bytes: int = field(
        default=512 * MIB,
        metadata=restart(values.whole(0, 1 << 50), "Free space that is left on the disk [bytes]."),
    )
    retention_s: int = field(
        default=DAY_S,
        metadata=restart(
            values.whole(0, 10 * YEAR_S),
            "What is in the database already is kept this long in the journal [s].",
        ),
    )


@dataclass(frozen=True)
class Photometer:
    """What is taken from photometers."""

    allow: tuple[str, ...] = field(
        default=(), metadata=live(values.names, "Only these names are taken; empty: all are.")
    )
    deny: tuple[str, ...] = field(default=(), metadata=live(values.names, "These names are never taken."))
    require_authorised: bool = field(
        default=False, metadata=live(values.flag, "Store readings of authorised photometers only.")
    )
    zero_point_min_mag: float = field(
        default=10.0,
        metadata=live(
            values.number(-100, 100), "A registration with a zero point below this is absurd [mag/arcsec²]."
        ),
    )
    seconds_resolution: int = field(
        default=1,
        metadata=live(
            values.choice(1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60),
            "Times are cut to a multiple of this; one reading per photometer and interval is stored [s].",
        ),
    )
    unregistered_max_age_s: int = field(
        default=DAY_S,
        metadata=live(
            values.whole(0, 10 * YEAR_S),
            "A reading is kept this long for the registration of its photometer's name [s].",
        ),
    )
    every: Mapping[str, int] = field(
        default_factory=lambda: MappingProxyType({}),
        metadata=live(
            values.divisor_table, 'Of some photometers take one reading in so many, as { "stars1" = 10 }.'
        ),
    )


@dataclass(frozen=True)
class Daylight:
    """The filter that leaves out long runs of saturated readings, but for those next to real ones."""

    enabled: bool = field(
        default=False,
        metadata=live(values.flag, "Filter; a reading is then stored when half a window of others has come."),
    )
    depth: int = field(
        default=7, metadata=live(values.odd(3, 99), "Readings in a photometer's window, an odd number.")
    )
    disabled_for: tuple[str, ...] = field(
        default=(), metadata=live(values.names, "Photometers whose readings are all stored.")
    )
    max_age_s: int = field(
        default=3600,
        metadata=live(
            values.whole(10, DAY_S),
            "When a photometer was silent for so long, what waits of it is stored, and it begins anew [s].",
        ),
    )


@dataclass(frozen=True)
class Writer:
    """How rows go to the database."""

    batch_rows: int = field(
        default=1000, metadata=live(values.whole(1, 5000), "Rows of one statement at most.")
    )
    batch_bytes: int = field(
        default=1 * MIB, metadata=live(values.whole(65_536, 64 * MIB), "Size of one batch at most [bytes].")
    )
    batch_delay_s: float = field(
        default=0.02, metadata=live(values.number(0, 10), "How long a batch waits for more frames [s].")
    )
    statement_timeout_s: float = field(
        default=30.0, metadata=live(values.number(1, 3600), "A statement that takes longer is given up [s].")
    )


@dataclass(frozen=True)
class Rejects:
    """What could not be stored."""

    keep_days: int = field(
        default=90, metadata=live(values.whole(1, 36_500), "Rejects are deleted after this time [days].")
    )


@dataclass(frozen=True)
class Web:
    """Metrics and health, for reading only."""

    listen: str = field(
        default="127.0.0.1:8270",
        metadata=restart(values.listen, "Address and port of the web face; empty: off."),
    )

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port to listen on, None when off."""
        return values.host_and_port(self.listen) if self.listen else None


@dataclass(frozen=True)
class Admin:
    """The door of the ``tessmon`` command."""

    socket: Path = field(
        default_factory=default_admin_socket,
        metadata=restart(values.path, "UNIX socket; who may open it may pause and reload the service."),
    )


@dataclass(frozen=True)
class Log:
    """What is logged."""

    level: str = field(default="info", metadata=live(values.choice(*values.LEVELS), "Level of the log."))
    levels: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({}),
        metadata=live(
            values.level_table, 'Other levels for some namespaces, as { "tessmon.lane" = "debug" }.'
        ),
    )


@dataclass(frozen=True)
class Stats:
    """Figures in the log."""

    period_s: int = field(
        default=3600, metadata=live(values.whole(10, YEAR_S), "How often the figures are logged [s].")
    )


@dataclass(frozen=True)
class Config:
    """The whole configuration; ``mqtt``, ``files`` and ``vlbimon`` are None when the file has no such table."""

    database: Database = field(default_factory=Database)
    journal: Journal = field(default_factory=Journal)
    mqtt: Mqtt | None = field(default_factory=Mqtt)
    photometer: Photometer = field(default_factory=Photometer)
    daylight: Daylight = field(default_factory=Daylight)
    files: Files | None = None
    vlbimon: Vlbimon | None = None
    writer: Writer = field(default_factory=Writer)
    rejects: Rejects = field(default_factory=Rejects)
    web: Web = field(default_factory=Web)
    admin: Admin = field(default_factory=Admin)
    log: Log = field(default_factory=Log)
    stats: Stats = field(default_factory=Stats)


TABLES: Mapping[str, type[Any]] = MappingProxyType(
    {
        "database": Database,
        "journal": Journal,
        "mqtt": Mqtt,
        "photometer": Photometer,
        "photometer.daylight": Daylight,
        "files": Files,
        "vlbimon": Vlbimon,
        "writer": Writer,
        "rejects": Rejects,
        "web": Web,
        "admin": Admin,
        "log": Log,
        "stats": Stats,
    }
)
"""Name of a TOML table → its dataclass, in the order they are shown. The last part of the name is `Config`'s field."""

INPUTS = ("mqtt", "files", "vlbimon")
"""Tables of sources: absent from a file, the source is off."""


def table_of(config: Config, name: str) -> Any:
    """What a configuration has for a TOML table; None when the table is off."""
    return getattr(config, name.rpartition(".")[2])


def settings() -> Iterator[tuple[str, Field[Any]]]:
    """Every (table, field) of the model, in the order they are shown."""
    for table, model in TABLES.items():
        for each in fields(model):
            yield table, each

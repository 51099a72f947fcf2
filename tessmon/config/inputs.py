# SPDX-License-Identifier: MIT
"""The tables of inputs, each of which is off when it is absent. See `tessmon.config.model` for what fields carry."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from tessmon.config import values
from tessmon.config.metadata import DAY_S, MIB, live, restart
from tessmon.config.places import default_state_directory


def _client_id() -> str:
    return f"tessmon-{socket.gethostname()}"


@dataclass(frozen=True)
class Mqtt:
    """The broker that photometers publish to. Without this table nothing is received over MQTT."""

    broker: str = field(
        default="mqtt://127.0.0.1:1883",
        metadata=live(values.broker, "The broker: mqtt://host:port, or mqtts://host:port for TLS."),
    )
    protocol: str = field(
        default="3.1.1",
        metadata=live(values.choice("3.1.1", "5"), "MQTT version; 5 costs about a third of the speed."),
    )
    qos: int = field(
        default=1,
        metadata=live(values.qos, "Quality of service of the subscriptions; 1 is the only one that is safe."),
    )
    client_id: str = field(
        default_factory=_client_id,
        metadata=live(
            values.some_text, "The name under which the broker keeps our session; no two clients share one."
        ),
    )
    username: str | None = field(default=None, metadata=live(values.some_text, "User name for the broker."))
    password_file: Path | None = field(
        default=None, metadata=live(values.secret_file, "File with the password for the broker.")
    )
    ca_file: Path | None = field(
        default=None,
        metadata=live(
            values.existing_file, "PEM file of the authorities trusted for mqtts; else the system's."
        ),
    )
    cert_file: Path | None = field(
        default=None, metadata=live(values.existing_file, "PEM file of the client certificate for mqtts.")
    )
    key_file: Path | None = field(
        default=None, metadata=live(values.secret_file, "PEM file of the client certificate's key.")
    )
    register_topic: str = field(
        default="STARS4ALL/register",
        metadata=live(values.topic, "Topic of registrations; empty: none are taken."),
    )
    reading_topics: tuple[str, ...] = field(
        default=("STARS4ALL/+/reading",),
        metadata=live(values.topic_filters, "Topics of readings, with the wildcards + and #."),
    )
    session_expiry_s: int = field(
        default=7 * DAY_S,
        metadata=live(
            values.whole(60, 0xFFFF_FFFE),
            "How long the broker keeps our session when we are away (MQTT 5) [s].",
        ),
    )
    receive_maximum: int = field(
        default=5000,
        metadata=live(values.whole(1, 65_535), "Messages that may wait for the disk, unacknowledged."),
    )
    keepalive_s: int = field(
        default=60,
        metadata=live(values.whole(5, 65_535), "A silent connection is probed after this time [s]."),
    )
    max_payload_bytes: int = field(
        default=65_536,
        metadata=live(
            values.whole(1024, MIB), "A longer message is cut to this size and rejected, undecoded [bytes]."
        ),
    )

    @property
    def tls(self) -> bool:
        """Whether the broker is reached through TLS."""
        return urlsplit(self.broker).scheme == "mqtts"

    @property
    def host(self) -> str:
        """The broker's name or address."""
        return urlsplit(self.broker).hostname or ""

    @property
    def port(self) -> int:
        """The broker's port, the usual one when none is written."""
        parts = urlsplit(self.broker)
        return parts.port or values.BROKER_PORTS[parts.scheme]


@dataclass(frozen=True)
class Files:
    """Telemetry files (.bintel, .binlog, .ndjson, .ndjson.gz) that grow. Without this table none are read."""

    host: str = field(
        default_factory=socket.gethostname,
        metadata=restart(
            values.host_name, "Name of the machine that writes them, as part of their identity."
        ),
    )
    directories: tuple[Path, ...] = field(
        default=(Path("/opt/MagAOX/telem"), Path("/opt/MagAOX/logs")),
        metadata=live(values.directories, "Directories they are in, at any depth; they need not exist yet."),
    )
    ignore: tuple[str, ...] = field(
        default=(".DS_Store", ".git", "*.swp", "*~", "lost+found"),
        metadata=live(values.patterns, "Names of files and directories to leave out, with * ? and [abc]."),
    )
    timezone: str = field(
        default="UTC",
        metadata=live(values.time_zone, "Time zone of the clocks of Python devices, as America/Santiago."),
    )
    poll_s: float = field(
        default=0.0,
        metadata=live(
            values.number(0, 3600),
            "0: the kernel tells of changes (inotify); else look so often, as network file systems need [s].",
        ),
    )
    schemas: tuple[Path, ...] = field(
        default=(), metadata=live(values.existing_files, "TOML files that add event codes or replace them.")
    )
    max_record_bytes: int = field(
        default=MIB // 4,
        metadata=live(
            values.whole(65_536, 16 * MIB), "A record or line longer than this is rejected [bytes]."
        ),
    )

    @property
    def zone(self) -> tzinfo:
        """The time zone."""
        return UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)


@dataclass(frozen=True)
class Vlbimon:
    """The vlbimon server that an array's stations report to. Without this table none is asked."""

    servers: tuple[str, ...] = field(
        default=("https://vlbimon1.science.ru.nl", "https://vlbimon2.science.ru.nl"),
        metadata=live(
            values.web_servers, "URLs; the next one is asked when those before it fail three times running."
        ),
    )
    auth_file: Path | None = field(
        default=None,
        metadata=live(
            values.login_file,
            "File with names and passwords by host, YAML as vlbimon-bridge has it, or TOML.",
        ),
    )
    ca_file: Path | None = field(
        default=None,
        metadata=live(
            values.existing_file, "PEM file of the authorities trusted for https; else the system's."
        ),
    )
    stations: tuple[str, ...] = field(
        default=(), metadata=live(values.station_names, "Only these stations are taken; empty: all are.")
    )
    period_s: float = field(
        default=10.0, metadata=live(values.number(0.05, 3600), "How often a snapshot is asked for [s].")
    )
    directory: Path = field(
        default_factory=default_state_directory,
        metadata=live(values.path, "A file PLEASE-EXIT that is put here ends the service in good order."),
    )
    connect_timeout_s: float = field(
        default=10.0, metadata=live(values.number(0.05, 600), "A connection must be made in this time [s].")
    )
    timeout_s: float = field(
        default=60.0,
        metadata=live(values.number(0.1, 3600), "An answer must have come in full in this time [s]."),
    )
    max_reply_bytes: int = field(
        default=16 * MIB,
        metadata=live(values.whole(65_536, 1024 * MIB), "A longer answer is given up [bytes]."),
    )
    sweep_s: float = field(
        default=3600.0,
        metadata=live(values.number(0.1, DAY_S), "How often history is asked for what snapshots lack [s]."),
    )

# SPDX-License-Identifier: MIT
"""The servers that the demo and the tests start: PostgreSQL and a broker, each in a directory of its own."""

from tessmon.demo.accounts import ServerError, new_directory
from tessmon.demo.broker import Broker, BrokerKind
from tessmon.demo.postgres import PostgresServer, StopMode
from tessmon.demo.programs import system_binaries, wheel_binaries

__all__ = [
    "Broker",
    "BrokerKind",
    "PostgresServer",
    "ServerError",
    "StopMode",
    "new_directory",
    "system_binaries",
    "wheel_binaries",
]

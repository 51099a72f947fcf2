# SPDX-License-Identifier: MIT
"""Which decoder takes which file: the same for the service and for commands."""

from __future__ import annotations

from tessmon.config.model import Files
from tessmon.decode.bintel import BintelDecoder
from tessmon.decode.ndjson import NdjsonDecoder
from tessmon.decode.schemas import Schemas
from tessmon.files.naming import FileName, name_of
from tessmon.records.telemetry import Decoded, Piece


class Decoders:
    """The decoder of each kind of file, made from a configuration.

    Attributes:
        max_record_bytes: as configured.
        events: what is known of event codes.
        codes: those that are known.

    Raises:
        ConfigurationError: a schema file is wrong.
    """

    def __init__(self, settings: Files) -> None:
        self.max_record_bytes = settings.max_record_bytes
        self._zone = settings.zone
        schemas = Schemas.load(settings.schemas)
        self.events = tuple(schemas)
        self.codes = frozenset(event.code for event in schemas)
        self._bintel = BintelDecoder(schemas, settings.max_record_bytes)
        self._ndjson = NdjsonDecoder(settings.zone, settings.max_record_bytes)

    def decode(self, piece: Piece) -> Decoded:
        """What a piece holds, by the kind of its file."""
        decoder = self._ndjson if piece.file.kind.startswith("ndjson") else self._bintel
        return decoder.decode(piece)

    def name_of(self, file_name: str) -> FileName | None:
        """What a file's name says; None for other files."""
        return name_of(file_name, self._zone)

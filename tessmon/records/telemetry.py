# SPDX-License-Identifier: MIT
"""What instrument files say: pieces of a file, and telemetry events decoded from them."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tessmon.records.frame import Frame, FrameKind

if TYPE_CHECKING:
    from tessmon.records.outcome import Reject

MAX_REJECT_BYTES = 65536
"""What a reject of a file keeps of a record [bytes]; the rest stays in the file."""


class TelemetryFile(msgspec.Struct, frozen=True, gc=False):
    """A file that devices write records to; its identity is what `origin` stands for, the path is an attribute.

    Attributes:
        origin: the key in ``positions``: ``HOST/FILE_ID``.
        host: the name of the computer that the file is of.
        path: where it is; odd bytes as surrogates (``surrogateescape``).
        device: from the file's name: a record does not name its device.
        kind: ``bintel``, ``binlog``, ``ndjson`` or ``ndjson.gz``.
        file_id: its row in ``file_origins``.
    """

    origin: str
    host: str
    path: str
    device: str
    kind: str
    file_id: int


class Piece(msgspec.Struct, frozen=True, gc=False):
    """Bytes read from a file in one go.

    Attributes:
        file: what they were read from.
        received_ns: when they were read [ns since 1970 UTC].
        offset: where they begin in the file [bytes]; of a ``.gz``, in the text it unpacks to.
        content: the bytes.
        last: nothing more will come, so a record cut at the end is not waited for.
    """

    file: TelemetryFile
    received_ns: int
    offset: int
    content: bytes
    last: bool = False


class TelemetryEvent(msgspec.Struct, frozen=True, gc=False):
    """One record of a device.

    Attributes:
        file: where it stands.
        received_ns: when it was read [ns since 1970 UTC].
        offset: where it begins in the file [bytes].
        ts_ns: when it happened [ns since 1970 UTC].
        ec: the name of its event code, as in ``telem_stdcam``.
        prio: its priority as printed, without the blank behind: ``TELM``, ``ERR``.
        msg: its values: JSON text as it goes into a ``jsonb`` column.
        digest: `digest_of` the bytes; tells two records of one instant apart.
        raw: the record's bytes: header and message; of a text file the line without its end.
        marked: a string of it could not be kept as it was (NUL, not UTF-8), and the changed places are marked.
    """

    file: TelemetryFile
    received_ns: int
    offset: int
    ts_ns: int
    ec: str
    prio: str
    msg: str
    digest: int
    raw: bytes
    marked: bool = False

    @property
    def subject(self) -> str:
        """The device."""
        return self.file.device

    @property
    def frame(self) -> Frame:
        """The record as a frame, made when asked for; more than `MAX_REJECT_BYTES` of it are left in the file."""
        return record_frame(self.file, self.received_ns, self.offset, self.raw)


class Decoded(NamedTuple):
    """What became of a piece.

    Attributes:
        records: events and rejects in the order of the file.
        used: how much of the piece need not be read again [bytes]; the rest is a cut record that waits. The rejected
            rest of a `Piece.last` is not part of it: when the file grows after all, that record is read on from there.
        lost: nobody can tell any more where records begin. The last reject stands for all that follows in the file, now
            and later, so nothing of it need ever be read.
    """

    records: list[TelemetryEvent | Reject]
    used: int
    lost: bool = False


def digest_of(raw: bytes) -> int:
    """64 bits of BLAKE2b over a record's bytes, as a signed number."""
    return int.from_bytes(blake2b(raw, digest_size=8).digest(), "big", signed=True)


def record_frame(
    file: TelemetryFile, received_ns: int, offset: int, raw: bytes, length: int | None = None
) -> Frame:
    """The frame of bytes that stand in a file at an offset.

    Args:
        length: the full length [bytes], where `raw` is only the beginning; None: `raw` is all.
    """
    return Frame(
        FrameKind.MESSAGE,
        received_ns,
        file.path,
        raw[:MAX_REJECT_BYTES],
        len(raw) if length is None else length,
        position=(offset,),
        origin=file.origin,
    )

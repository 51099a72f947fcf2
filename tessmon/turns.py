# SPDX-License-Identifier: MIT
"""Which file is read next: files that wait, files that are open, files that are gone and have something left."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import islice

from twisted.logger import Logger

from tessmon.breath import Breath
from tessmon.files.reading import FileReader, Identity, UnreadableError, identify
from tessmon.files.tree import shown
from tessmon.followed import Followed, OpenFiles, Underway, is_read
from tessmon.interfaces import Ask
from tessmon.sink.files import Fate, Opened, Seen, Touched
from tessmon.sink.telemetry import CutOff, Fresh, Stands
from tessmon.sources.sightings import ISightings, Sighting

MAX_OPEN = 500
"""Files that are kept open; devices that write now are fewer."""
ASKED_AT_ONCE = 250
"""Files whose heads are read and that the database is asked or told about in one go."""
FRESH_NS = 10_000_000_000
"""Sizes and times of files that grow are told this often [ns]."""
RETRY_S = 30.0
"""A file that can't be read is tried again after this time, or when it changes."""
_MAX_REFUSED = 1000


class Turns:
    """Opens files in the order of the source: of a device the older one first.

    What a file has when its path goes (deleted, or taken by another file) is read from the open descriptor first.

    Args:
        source: says which files to look at.
        underway: what was read and is not in the database.
        max_record_bytes: of the decoders.
        breath: lets the reactor do other things.
        now_ns: wall clock.
    """

    log = Logger()

    def __init__(
        self,
        source: ISightings,
        underway: Underway,
        max_record_bytes: int,
        breath: Breath,
        now_ns: Callable[[], int],
    ) -> None:
        self._source = source
        self._underway = underway
        self._max_record_bytes = max_record_bytes
        self._breath = breath
        self._now_ns = now_ns
        self._line: OrderedDict[str, Sighting] = OrderedDict()
        self._open = OpenFiles()
        self._gone: list[Followed] = []
        self._refused: dict[str, str] = {}
        self._vanished: list[str] = []
        self._touched: dict[int, Touched] = {}
        self._ended: dict[int, str] = {}  # file id -> origin
        self._cut_off: list[tuple[str, str]] = []

    def __len__(self) -> int:
        """Files that wait to be read."""
        return len(self._line) + len(self._gone)

    # beginning and end

    async def begin(self, ask: Ask, failed: Mapping[str, Sighting]) -> None:
        """A new connection.

        Args:
            ask: over it.
            failed: by origin, what was read and is not committed: it is read again.
        """
        self._ask = ask
        self._ended = {file_id: origin for file_id, origin in self._ended.items() if origin not in failed}
        again = [*self._line.values(), *failed.values()]
        opened, self._gone = [*self._gone, *self._open.clear()], []
        for followed in opened:
            if followed.reader.deleted:
                self._gone.append(followed)  # nobody can open it again
            else:
                followed.reader.close()
                again.append(followed.sighting)
        again.sort(key=lambda sighting: sighting.name.start_ns)
        self._line = OrderedDict((sighting.path, sighting) for sighting in again)
        if self._gone:
            standings = await ask([Stands(followed.file.origin) for followed in self._gone])
            for followed, standing in zip(self._gone, standings, strict=True):
                followed.standing = standing
                followed.reader.go_to(standing.position[0])

    def forget_line(self) -> None:
        """The source gives all files out again."""
        self._line.clear()

    def reopen(self, max_record_bytes: int) -> None:
        """Decoders are others now; nothing is being read."""
        self._max_record_bytes = max_record_bytes
        for followed in self._open.clear():
            if followed.reader.deleted:
                self._gone.append(followed)
            else:
                followed.reader.close()

    def close(self) -> None:
        """Let go of all files."""
        for followed in [*self._gone, *self._open.clear()]:
            followed.reader.close()
        self._gone.clear()

    # taking turns

    async def look(self) -> bool:
        """Take what the source has to tell; gives whether there is something to read."""
        while paths := self._source.vanished(ASKED_AT_ONCE):
            for path in paths:
                self._line.pop(path, None)
                self._refused.pop(path, None)
                self._forsake(path)
            self._vanished += paths
            if len(self._vanished) >= ASKED_AT_ONCE:
                await self.tell()
            if self._breath.due:
                await self._breath.take()
        await self.tell()  # before another file may have the path
        while len(self._line) < ASKED_AT_ONCE and (some := self._source.next(ASKED_AT_ONCE)):
            for sighting in some:
                self._line[sighting.path] = sighting
            if self._breath.due:
                await self._breath.take()
        return bool(self)

    async def next(self) -> Followed | None:
        """The file whose turn it is, open; None when no file waits."""
        while self._gone or self._line:
            if self._gone:
                return self._gone[0]
            path, sighting = next(iter(self._line.items()))
            followed = self._known(path, sighting)
            if followed is None:
                if not self._gone:
                    await self._open_some()
            elif is_read(sighting, followed.standing.position):
                self.leave(followed)
            else:
                return followed
            if self._breath.due:
                await self._breath.take()
        return None

    def _known(self, path: str, sighting: Sighting) -> Followed | None:
        """The file that is open under a path, if it is still the one that stands there."""
        followed = self._open.at(path)
        if followed is None:
            return None
        if not _is(followed.reader.identity, sighting):
            self._forsake(path)  # and its rest is read first
            return None
        if not _begins_so(followed.reader):
            self._drop(followed)  # it was overwritten: the database tells what it is now
            return None
        followed.sighting = sighting
        self._open.read(followed)
        self._touch(followed)
        return followed

    def leave(self, followed: Followed) -> None:
        """It was read to its end."""
        if followed in self._gone:
            self._gone.remove(followed)
            if followed.reader.deleted:
                self._end(followed)
            followed.reader.close()
            return
        self._line.pop(followed.sighting.path, None)
        self._touch(followed)
        if followed.sighting.finished:
            self._end(followed)
            self._drop(followed)

    def give_up(self, followed: Followed, why: str) -> None:
        """It can't be read now."""
        if followed in self._gone:
            self._gone.remove(followed)
            followed.reader.close()
            return
        self._drop(followed)
        self._refuse(followed.sighting, why)

    async def cut_off(self, followed: Followed) -> None:
        """It is shorter than it was: what it holds from now on is another file's content."""
        if followed in self._gone:
            self.give_up(followed, "")
            return
        self._drop(followed)
        await self._replace(followed.sighting, followed.file.file_id)

    def _forsake(self, path: str) -> None:
        """The path is gone, or another file's: what its file has still is read from the open descriptor."""
        followed = self._open.at(path)
        if followed is not None:
            self._open.remove(followed)
            self._gone.append(followed)

    def _drop(self, followed: Followed) -> None:
        self._open.remove(followed)
        followed.reader.close()

    # opening

    async def _open_some(self) -> None:
        """Ask for the files at the head of the line, which are not open, in one go."""
        asked: list[tuple[Sighting, Seen]] = []
        for path, sighting in list(islice(self._line.items(), ASKED_AT_ONCE)):
            if self._open.at(path) is not None:
                break
            seen = self._seen(sighting)
            if seen is not None:
                asked.append((sighting, seen))
            if self._breath.due:
                await self._breath.take()
        if not asked:
            return
        answers = await self._ask([seen for _, seen in asked])
        for (sighting, seen), opened in zip(asked, answers, strict=True):
            if opened is None:
                self._refuse(sighting, "its path is too long to be stored")
            elif seen.head is None:
                self._line.pop(sighting.path, None)
            elif opened.fate is Fate.SHRUNK:
                await self._replace(sighting, opened.file_id)
            else:
                self._begin_with(sighting, seen.head, opened)
            if self._breath.due:
                await self._breath.take()

    def _seen(self, sighting: Sighting) -> Seen | None:
        """With its head, if it can be read; None when it is another one by now, or gone."""
        head: bytes | None = None
        try:
            found = identify(sighting.path)
        except UnreadableError as error:
            self._refuse(sighting, str(error))
            if isinstance(error.__cause__, FileNotFoundError):
                return None
        else:
            if not _is(found, sighting):
                self._line.pop(sighting.path, None)
                self._source.again(sighting.path)
                return None
            head = found.head
        name = sighting.name
        return Seen(
            sighting.path,
            name.device,
            name.kind,
            sighting.fsid,
            sighting.inode,
            head,
            sighting.size_bytes,
            sighting.mtime_ns,
            name.start_ns,
        )

    def _begin_with(self, sighting: Sighting, head: bytes, opened: Opened) -> None:
        standing = self._underway.standing(opened.origin, sighting) or opened.standing
        if is_read(sighting, standing.position):
            self._line.pop(sighting.path, None)
            if sighting.finished:
                self._ended[opened.file_id] = opened.origin
            return
        try:
            reader = FileReader(
                sighting.path, sighting.name.kind, standing.position[0], self._max_record_bytes
            )
        except UnreadableError as error:
            self._refuse(sighting, str(error))
            return
        if not _is(reader.identity, sighting):  # another one since
            reader.close()
            self._line.pop(sighting.path, None)
            self._source.again(sighting.path)
            return
        self._refused.pop(sighting.path, None)
        opened = opened._replace(standing=standing)
        followed = Followed(opened, sighting, head, reader, self._now_ns())
        other = self._open.add(followed)
        for each in [*([other] if other else []), *self._open.surplus(MAX_OPEN)]:
            each.reader.close()

    async def _replace(self, sighting: Sighting, file_id: int) -> None:
        """A file is shorter than the database knows it. It stays in the line."""
        seen = self._seen(sighting)
        if seen is not None:
            await self._ask([CutOff(file_id, seen)])

    def _refuse(self, sighting: Sighting, why: str) -> None:
        """It is tried again later; the operator is told once."""
        path = sighting.path
        self._line.pop(path, None)
        self._source.again(path, RETRY_S)
        if self._refused.get(path) == why:
            return
        if len(self._refused) >= _MAX_REFUSED:
            self._refused.clear()
        self._refused[path] = why
        self.log.warn("{path} can't be read and is tried again: {why}", path=shown(path), why=why)

    # telling

    def _end(self, followed: Followed) -> None:
        self._ended[followed.file.file_id] = followed.file.origin

    def _touch(self, followed: Followed) -> None:
        """A longer head is told before anything that stands behind it is stored: by it the file is known."""
        touched, told = followed.touched, followed.told
        if touched == told:
            return
        now_ns = self._now_ns()
        is_longer = len(touched.head) > len(told.head)
        if is_longer or followed.sighting.finished or now_ns - followed.told_ns >= FRESH_NS:
            followed.told, followed.told_ns = touched, now_ns
            self._touched[touched.file_id] = touched

    @property
    def waits_for_commit(self) -> bool:
        """Something is to be told when what was read is committed."""
        return bool(self._ended)

    async def tell(self) -> None:
        """News of files; that all of one is stored, when it is committed."""
        ended = [file_id for file_id, origin in self._ended.items() if origin not in self._underway]
        touched, vanished = list(self._touched.values()), list(self._vanished)
        if not (ended or touched or vanished):
            return
        await self._ask([Fresh(touched, ended, vanished)])
        for file_id in ended:
            self._ended.pop(file_id, None)
        for each in touched:
            if self._touched.get(each.file_id) is each:
                del self._touched[each.file_id]
        del self._vanished[: len(vanished)]


def _is(identity: Identity, sighting: Sighting) -> bool:
    return (identity.fsid, identity.inode) == (sighting.fsid, sighting.inode)


def _begins_so(reader: FileReader) -> bool:
    try:
        return reader.begins_so()
    except OSError:
        return False

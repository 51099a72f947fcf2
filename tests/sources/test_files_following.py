# SPDX-License-Identifier: MIT
"""Following trees: with the kernel's events and by looking alike."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from zope.interface.verify import verifyObject

from tessmon.config.model import Files
from tessmon.files.tree import shown
from tessmon.sources.sightings import ISightings
from tests.sources.following import Reader, name, until, write
from tests.unprivileged import as_nobody, open_directory

__all__ = ["open_directory"]


@pytest.fixture(params=[0.0, 0.05], ids=["inotify", "polling"])
def how(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Settings of a source."""
    return {"poll_s": request.param}


def test_it_is_what_its_reader_expects(tmp_path: Path) -> None:
    assert verifyObject(ISightings, Reader(tmp_path).source)


@pytest_twisted.ensureDeferred
async def test_what_is_there_is_given_out_once(tmp_path: Path, how: dict[str, Any]) -> None:
    paths = [write(tmp_path / "telem" / device / name(device, n)) for device in "ab" for n in (2, 1, 0)]
    write(tmp_path / "telem" / "notes.txt")
    write(tmp_path / "telem" / "a" / f"{name('a')}.swp")
    write(tmp_path / "telem" / ".git" / name("a"))
    async with Reader(tmp_path / "telem", **how) as reader:
        assert sorted(each.path for each in reader.seen) == sorted(map(str, paths))
        for device in "ab":
            numbers = [each.name.start_ns % 1000 for each in reader.seen if each.name.device == device]
            assert numbers == [0, 1, 2]
        status = reader.source.status()
        assert (status.files, status.waiting, status.directories) == (6, 0, 3)
        assert (status.mode, status.watched) == (("polling", 0) if how["poll_s"] else ("inotify", 3))
        assert status.state == "following"
        assert reader.seen[0].inode == Path(reader.seen[0].path).stat().st_ino
        assert reader.seen[0].fsid == os.statvfs(tmp_path).f_fsid


@pytest_twisted.ensureDeferred
async def test_what_grows_is_given_out_again(tmp_path: Path, how: dict[str, Any]) -> None:
    path = write(tmp_path / name("a"))
    async with Reader(tmp_path, **how) as reader:
        write(path, b"yz")
        sighting = await reader.sees(path, 3)
        assert sighting.newest
        reader.forget()
        await until(lambda: reader.source.status().waiting == 0)
        assert reader.seen == []


@pytest_twisted.ensureDeferred
async def test_a_rotated_file_is_finished_first(tmp_path: Path, how: dict[str, Any]) -> None:
    old = write(tmp_path / name("a", 0))
    async with Reader(tmp_path, **how) as reader:
        reader.forget()
        reader.takes = False
        write(old, b"end")
        new = write(tmp_path / name("a", 1))
        await until(lambda: reader.source.status().waiting == 2)
        reader.take()
        await reader.sees(new)
        assert [(each.path, each.newest) for each in reader.seen[:2]] == [(str(old), False), (str(new), True)]
        assert reader.of(old)[0].size_bytes == 4


@pytest_twisted.ensureDeferred
async def test_an_old_file_is_told_when_it_is_finished(tmp_path: Path, how: dict[str, Any]) -> None:
    old, new = write(tmp_path / name("a", 0)), write(tmp_path / name("a", 1))
    almost_ns = Path(old).stat().st_mtime_ns - 59_600_000_000
    os.utime(old, ns=(almost_ns, almost_ns))
    async with Reader(tmp_path, **how) as reader:
        assert [each.finished for each in reader.seen] == [False, False]
        await until(lambda: [each for each in reader.of(old) if each.finished])
        assert len(reader.of(new)) == 1


@pytest_twisted.ensureDeferred
async def test_a_truncated_file_is_told_with_its_size(tmp_path: Path, how: dict[str, Any]) -> None:
    path = write(tmp_path / name("a"), b"0123456789")
    async with Reader(tmp_path, **how) as reader:
        os.truncate(path, 4)
        cut = await reader.sees(path, 4)
        assert cut.inode == reader.seen[0].inode


@pytest_twisted.ensureDeferred
async def test_a_replaced_file_is_told_with_its_inode(tmp_path: Path, how: dict[str, Any]) -> None:
    path = write(tmp_path / name("a"), b"0123456789")
    stamp = path.stat().st_mtime_ns
    other = write(tmp_path / "other", b"9876543210")
    os.utime(other, ns=(stamp, stamp))
    async with Reader(tmp_path, **how) as reader:
        other.rename(path)
        await until(lambda: len(reader.of(path)) == 2)
        assert reader.of(path)[0].inode != reader.of(path)[1].inode == path.stat().st_ino
        assert reader.gone == []


@pytest_twisted.ensureDeferred
async def test_a_renamed_file_is_told_under_both_names(tmp_path: Path, how: dict[str, Any]) -> None:
    path = write(tmp_path / name("a"))
    async with Reader(tmp_path, **how) as reader:
        renamed = path.rename(tmp_path / name("b"))
        sighting = await reader.sees(renamed)
        assert sighting.inode == reader.seen[0].inode
        await until(lambda: reader.gone == [str(path)])


@pytest_twisted.ensureDeferred
async def test_a_file_that_is_compressed_under_our_eyes_is_told_as_two(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    path = write(tmp_path / "maggieo_x_2026-03-01T054658.ndjson")
    async with Reader(tmp_path, **how) as reader:
        packed = write(path.with_name(f"{path.name}.gz"))
        path.unlink()
        sighting = await reader.sees(packed)
        assert sighting.newest
        await until(lambda: reader.gone == [str(path)])


@pytest_twisted.ensureDeferred
async def test_a_removed_file_is_told(tmp_path: Path, how: dict[str, Any]) -> None:
    path, other = write(tmp_path / name("a")), write(tmp_path / "sub" / name("b"))
    async with Reader(tmp_path, **how) as reader:
        path.unlink()
        await until(lambda: reader.gone == [str(path)])
        shutil.rmtree(other.parent)
        await until(lambda: reader.gone == [str(path), str(other)])
        await until(lambda: reader.source.status().directories == 1)
        assert reader.source.status().files == 0


@pytest_twisted.ensureDeferred
async def test_directories_that_appear_are_followed_with_what_is_in_them(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    async with Reader(tmp_path, **how) as reader:
        paths = [
            write(tmp_path / f"{number}" / "below" / "further" / name(f"dev{number}")) for number in range(40)
        ]
        for path in paths:
            await reader.sees(path)
        for path in paths:
            write(path)
        for path in paths:
            await reader.sees(path, 2)
        assert reader.source.status().directories == 121


@pytest_twisted.ensureDeferred
async def test_a_directory_that_is_made_elsewhere_and_moved_in_is_found(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    root, elsewhere = tmp_path / "telem", tmp_path / "elsewhere"
    root.mkdir()
    write(elsewhere / "below" / name("a"))
    async with Reader(root, **how) as reader:
        elsewhere.rename(root / "in")
        path = root / "in" / "below" / name("a")
        await reader.sees(path)
        write(path)
        await reader.sees(path, 2)


@pytest_twisted.ensureDeferred
async def test_a_moved_directory_is_followed_under_its_new_path_only(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    path = write(tmp_path / "old" / "below" / name("a"))
    async with Reader(tmp_path, **how) as reader:
        (tmp_path / "old").rename(tmp_path / "new")
        again = write(tmp_path / "old" / "below" / name("b"))  # and there is one of this name again
        moved = tmp_path / "new" / "below" / name("a")
        assert (await reader.sees(moved)).inode == reader.of(path)[0].inode
        await reader.sees(again)
        await until(lambda: reader.gone == [str(path)])
        for each in (moved, again):
            write(each)
            await reader.sees(each, 2)
        assert reader.source.status().directories == 5


@pytest_twisted.ensureDeferred
async def test_a_directory_that_is_moved_out_is_followed_no_more(tmp_path: Path, how: dict[str, Any]) -> None:
    path = write(tmp_path / "telem" / "sub" / name("a"))
    async with Reader(tmp_path / "telem", **how) as reader:
        path.parent.rename(tmp_path / "out")
        await until(lambda: reader.gone == [str(path)])
        reader.forget()
        write(tmp_path / "out" / name("a"))
        await reader.sees(write(tmp_path / "telem" / name("b")))
        assert len(reader.seen) == 1
        assert reader.source.status().directories == 1


@pytest_twisted.ensureDeferred
async def test_a_configured_directory_that_is_missing_is_waited_for(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    there, root = tmp_path / "there", tmp_path / "late" / "telem"
    known = write(there / name("a"))
    async with Reader(root, there, **how) as reader:
        assert reader.source.status().state == "missing"
        assert f"{root}: No such file" in reader.source.status().detail
        assert await reader.is_told("directory_missing")
        await reader.sees(known)
        path = write(root / "sub" / name("b"))
        await reader.sees(path)
        assert await reader.is_told("directory_back")
        assert reader.source.status().state == "following"


@pytest_twisted.ensureDeferred
async def test_a_configured_directory_that_goes_and_comes_back_is_followed_again(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    root = tmp_path / "telem"
    path = write(root / "sub" / name("a"))
    async with Reader(root, **how) as reader:
        held = os.open(root, os.O_RDONLY)  # whoever holds it open keeps the kernel from telling
        shutil.rmtree(root)
        await until(lambda: reader.source.status().state == "missing")
        await until(lambda: reader.gone == [str(path)])
        await until(lambda: reader.occurred)
        assert [each.what for each in reader.occurred] == ["directory_missing"]
        write(path, b"new")
        await reader.sees(path, 3)
        write(path, b"er")
        await reader.sees(path, 5)
        os.close(held)


@pytest_twisted.ensureDeferred
async def test_a_configured_directory_that_is_replaced_is_the_new_one(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    root = tmp_path / "telem"
    path = write(root / name("a"))
    write(tmp_path / "other" / name("b"))
    async with Reader(root, **how) as reader:
        root.rename(tmp_path / "away")
        (tmp_path / "other").rename(root)
        await reader.sees(root / name("b"))
        await until(lambda: reader.gone == [str(path)])
        write(tmp_path / "away" / name("a"))
        new = write(root / "sub" / name("c"))
        await reader.sees(new)
        assert len(reader.of(path)) == 1


@pytest_twisted.ensureDeferred
async def test_names_that_are_no_utf8_are_followed(tmp_path: Path, how: dict[str, Any]) -> None:
    raw = os.fsencode(tmp_path) + b"/d\xe9\n/\xff_20260301000000000000000.bintel"
    async with Reader(tmp_path, **how) as reader:
        os.mkdir(os.path.dirname(raw))
        for size in (1, 2):
            with open(raw, "ab") as file:
                file.write(b"x")
            sighting = await reader.sees(Path(os.fsdecode(raw)), size)
            assert shown(sighting.path) == f"{tmp_path}/d\\xe9\\x0a/\\xff_20260301000000000000000.bintel"
            assert sighting.name.device == "\\xff"


@pytest_twisted.ensureDeferred
async def test_links_and_pipes_are_not_followed(tmp_path: Path, how: dict[str, Any]) -> None:
    root, elsewhere = tmp_path / "telem", tmp_path / "elsewhere"
    write(elsewhere / name("a"))
    root.mkdir()
    (root / "link").symlink_to(elsewhere)
    os.mkfifo(root / name("pipe"))
    async with Reader(root, **how) as reader:
        (root / "later").symlink_to(elsewhere)
        (root / name("a")).symlink_to(elsewhere / name("a"))
        os.mkfifo(root / name("fifo"))
        await reader.sees(write(root / name("b")))
        assert [each.name.device for each in reader.seen] == ["b"]
        assert reader.gone == []
        assert reader.occurred == []


@pytest_twisted.ensureDeferred
async def test_a_configured_link_is_followed_to_where_it_points(tmp_path: Path, how: dict[str, Any]) -> None:
    write(tmp_path / "night1" / name("a"))
    write(tmp_path / "night2" / name("b"))
    link = tmp_path / "telem"
    link.symlink_to("night1")
    async with Reader(link, **how) as reader:
        await reader.sees(link / name("a"))
        (tmp_path / "new").symlink_to("night2")
        (tmp_path / "new").rename(link)
        await reader.sees(link / name("b"))
        await until(lambda: reader.gone == [str(link / name("a"))])


@pytest_twisted.ensureDeferred
async def test_a_directory_that_can_not_be_read_is_told_once_and_read_when_it_can(
    open_directory: Path, how: dict[str, Any]
) -> None:
    path = write(open_directory / "closed" / name("a"))
    path.parent.chmod(0)
    reader = Reader(open_directory, **how)
    with as_nobody():
        await reader.start()
        assert (await reader.is_told("unreadable")).detail.startswith(
            f'{{"path": "{path.parent}", "why": "Perm'
        )
        await until(lambda: reader.source.status().directories == 2)
    path.parent.chmod(0o755)
    with as_nobody():
        await reader.sees(path)
        await reader.stop()
    assert [each.what for each in reader.occurred] == ["unreadable"]


@pytest_twisted.ensureDeferred
async def test_a_file_is_given_out_again_when_its_reader_asks(tmp_path: Path, how: dict[str, Any]) -> None:
    path, gone = write(tmp_path / name("a")), tmp_path / name("b")
    async with Reader(tmp_path, **how) as reader:
        for after_s in (0.0, 0.3):
            before = len(reader.of(path))
            reader.source.again(str(path), after_s)
            reader.source.again(str(gone), after_s)
            await until(lambda before=before: len(reader.of(path)) > before)
        assert reader.of(gone) == []


@pytest_twisted.ensureDeferred
async def test_a_reader_that_lost_its_memory_gets_everything_again(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    paths = [write(tmp_path / "sub" / name("a", number)) for number in range(5)]
    async with Reader(tmp_path, **how) as reader:
        reader.forget()
        reader.source.anew()
        await reader.rests()
        assert [each.path for each in reader.seen] == [*map(str, paths)]
        write(paths[0])
        await reader.sees(paths[0], 2)


@pytest_twisted.ensureDeferred
async def test_other_settings_are_taken_up_at_once(tmp_path: Path, how: dict[str, Any]) -> None:
    one, other = write(tmp_path / "one" / name("a")), write(tmp_path / "other" / name("b"))
    left_out = write(tmp_path / "other" / name("part"))
    async with Reader(tmp_path / "one", **how) as reader:
        reader.forget()
        reader.source.reconfigure(
            Files(host="exao1", directories=(tmp_path / "other",), ignore=("part*",), **how)
        )
        await reader.sees(other)
        write(one)
        write(left_out)
        write(other)
        await reader.sees(other, 2)
        assert {each.path for each in reader.seen} == {str(other)}
        assert reader.gone == []


@pytest_twisted.ensureDeferred
async def test_a_start_after_a_stop_gives_out_everything_again(tmp_path: Path, how: dict[str, Any]) -> None:
    path = write(tmp_path / name("a"))
    reader = await Reader(tmp_path, **how).start()
    await reader.stop()
    assert reader.source.status().state == "stopped"
    write(path)
    reader.source.again(str(path))
    assert reader.source.next(1) == []
    reader.source.anew()
    assert reader.source.status().state == "stopped"
    await reader.start()
    await reader.sees(path, 2)
    await reader.stop()


@pytest_twisted.ensureDeferred
async def test_a_reader_that_waits_costs_nothing_and_misses_nothing(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    paths = [write(tmp_path / name(f"dev{number}")) for number in range(20)]
    async with Reader(tmp_path, **how) as reader:
        reader.takes = False
        reader.forget()
        await reader.rests()
        calls = reader.calls
        for _ in range(50):
            for path in paths:
                write(path)
        await until(lambda: reader.source.status().waiting == 20)
        assert reader.calls <= calls + 1
        reader.take()
        for path in paths:
            await reader.sees(path, 51)


@pytest_twisted.ensureDeferred
async def test_of_two_ways_to_a_directory_one_may_go(tmp_path: Path, how: dict[str, Any]) -> None:
    path, link = write(tmp_path / "telem" / name("a")), tmp_path / "also"
    link.symlink_to("telem")
    async with Reader(path.parent, link, **how) as reader:
        write(path)
        for each in (path, link / path.name):
            await reader.sees(each, 2)
        link.unlink()
        await until(lambda: reader.gone == [str(link / path.name)])
        write(path)
        await reader.sees(path, 3)
        await until(lambda: reader.source.status().watched == (0 if how["poll_s"] else 1))

# SPDX-License-Identifier: MIT
"""Trees of files, with everything that can stand in one."""

from __future__ import annotations

import os
import resource
import shutil
import socket
from errno import EACCES, ENAMETOOLONG, ENOENT, ENOTDIR
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessmon.files.tree import Entry, Unreadable, path_shown_as, shown, walk
from tests.scale import TREE_FILES
from tests.unprivileged import as_nobody, open_directory

__all__ = ["open_directory"]
IGNORE = (".DS_Store", ".git", "*.swp", "*~", "run[0-9]")


def entries(*directories: Path, ignore: tuple[str, ...] = ()) -> dict[str, Entry]:
    return {found.path: found for found in walk([*map(str, directories)], ignore) if isinstance(found, Entry)}


def left_out(*directories: Path) -> dict[str, Unreadable]:
    return {
        found.path: found for found in walk([*map(str, directories)], ()) if isinstance(found, Unreadable)
    }


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_files_at_any_depth_are_found_with_their_identity(tmp_path: Path) -> None:
    paths = [
        touch(tmp_path / "a" / "x"),
        touch(tmp_path / "a" / "b" / "c" / "y.fits"),
        touch(tmp_path / "d" / "z"),
    ]
    paths[1].write_bytes(b"12345")
    os.utime(paths[1], ns=(1, 1_700_000_000_123_456_789))
    found = entries(tmp_path / "a", tmp_path / "d")
    assert found.keys() == {str(path) for path in paths}
    assert found[str(paths[1])] == Entry(
        str(paths[1]),
        "y.fits",
        os.statvfs(tmp_path).f_fsid,
        paths[1].stat().st_ino,
        5,
        1_700_000_000_123_456_789,
    )


def test_ignored_names_are_left_out_and_not_entered(tmp_path: Path) -> None:
    for name in (".DS_Store", ".git/config", "a.swp", "b~", "run1/x", "run10/x", ".ds_store", "a.swp.gz"):
        touch(tmp_path / name)
    kept = {os.path.relpath(path, tmp_path) for path in entries(tmp_path, ignore=IGNORE)}
    assert kept == {"run10/x", ".ds_store", "a.swp.gz"}
    assert len(entries(tmp_path)) == 8


def test_links_and_pipes_are_told_and_never_opened(tmp_path: Path) -> None:
    target = touch(tmp_path / "elsewhere" / "x")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").symlink_to(target)
    (tree / "directory").symlink_to(target.parent)
    (tree / "nowhere").symlink_to(tmp_path / "none")
    (tree / "loop").symlink_to(tree)
    os.mkfifo(tree / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tree / "socket"))
    assert entries(tree) == {}
    found = left_out(tree)
    assert {Path(path).name: (each.why, each.errno) for path, each in found.items()} == {
        **dict.fromkeys(("file", "directory", "nowhere", "loop"), ("a symbolic link, not followed", 0)),
        **dict.fromkeys(("pipe", "socket"), ("no regular file", 0)),
    }


def test_a_configured_directory_may_be_a_link(tmp_path: Path) -> None:
    touch(tmp_path / "data" / "x")
    (tmp_path / "telem").symlink_to(tmp_path / "data")
    assert entries(tmp_path / "telem").keys() == {str(tmp_path / "telem" / "x")}


def test_directories_that_are_missing_or_none_are_told_and_the_rest_is_found(tmp_path: Path) -> None:
    path = touch(tmp_path / "there" / "x")
    file = touch(tmp_path / "file")
    given = (tmp_path / "none", file, tmp_path / "there")
    assert entries(*given).keys() == {str(path)}
    assert {path: each.errno for path, each in left_out(*given).items()} == {
        str(tmp_path / "none"): ENOENT,
        str(file): ENOTDIR,
    }


def test_a_directory_that_may_not_be_listed_is_told(open_directory: Path) -> None:
    path = touch(open_directory / "open" / "x")
    closed = touch(open_directory / "closed" / "y").parent
    closed.chmod(0)
    with as_nobody():
        assert entries(open_directory).keys() == {str(path)}
        assert [(each.path, each.errno) for each in left_out(open_directory).values()] == [
            (str(closed), EACCES)
        ]


def test_names_that_are_no_utf8_are_found_and_can_be_opened(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/d\xe9/t\xff_\n.bintel"
    os.mkdir(os.path.dirname(raw))
    with open(raw, "wb") as file:
        file.write(b"abc")
    ((path, entry),) = entries(tmp_path).items()
    assert os.fsencode(path) == raw
    assert Path(path).read_bytes() == b"abc"
    assert shown(path) == f"{tmp_path}/d\\xe9/t\\xff_\\x0a.bintel"
    assert path_shown_as(shown(path)) == path
    assert entry.name == "t\udcff_\n.bintel"


@given(st.binary(max_size=60))
def test_what_is_shown_is_printable_and_says_which_path(raw: bytes) -> None:
    path = os.fsdecode(raw)
    assert shown(path).isprintable()
    assert path_shown_as(shown(path)) == path


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_two_paths_are_shown_differently(one: bytes, other: bytes) -> None:
    assert (shown(os.fsdecode(one)) == shown(os.fsdecode(other))) == (one == other)


def test_ordinary_paths_are_shown_as_they_are() -> None:
    assert shown("/opt/MagAOX/telem/año nuevo/tcsi.bintel") == "/opt/MagAOX/telem/año nuevo/tcsi.bintel"
    assert shown("a\\b\x1b[2J") == "a\\\\b\\x1b[2J"


def test_a_tree_deeper_than_any_path_ends_with_a_word(tmp_path: Path) -> None:
    home = os.getcwd()
    try:
        os.chdir(tmp_path)
        for _ in range(30):  # of 200 characters each: beyond 4096
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
    finally:
        os.chdir(home)
    (found,) = left_out(tmp_path).values()
    assert found.errno == ENAMETOOLONG
    shutil.rmtree(tmp_path / ("d" * 200))


def test_what_goes_while_it_is_looked_for_is_nobody_s_fault(tmp_path: Path) -> None:
    for number in range(2000):
        touch(tmp_path / f"{number}")
    (tmp_path / "below").mkdir()
    found = walk([str(tmp_path)], ())
    seen = [next(found)]
    for path in tmp_path.iterdir():
        path.rmdir() if path.is_dir() else path.unlink()
    seen += found
    assert all(isinstance(each, Entry) for each in seen)


def test_many_files_are_walked_with_one_descriptor_and_little_memory(tmp_path: Path) -> None:
    for number in range(TREE_FILES):
        if number % 500 == 0:
            (tmp_path / f"{number // 500}" / "below").mkdir(parents=True)
        (tmp_path / f"{number // 500}" / "below" / f"{number}").touch()
    open_before, most_open, count = len(os.listdir("/proc/self/fd")), 0, 0
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in walk([str(tmp_path)], ()):
        count += 1
        if count % 100 == 0:
            most_open = max(most_open, len(os.listdir("/proc/self/fd")))
    assert count == TREE_FILES
    assert most_open <= open_before + 2  # its directory, once as it was opened and once as it is listed
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_kib < 4096


def test_a_walk_that_is_left_leaves_nothing_open(tmp_path: Path) -> None:
    for number in range(10):
        touch(tmp_path / f"{number}")
    before = len(os.listdir("/proc/self/fd"))
    found = walk([str(tmp_path)], ())
    next(found)
    found.close()  # type: ignore[attr-defined]
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("pattern", ["[", "[!", "a[]", "\\", "*" * 50])
def test_odd_patterns_are_names(tmp_path: Path, pattern: str) -> None:
    touch(tmp_path / "x")
    assert len(entries(tmp_path, ignore=(pattern,))) == (0 if pattern.startswith("*") else 1)

# SPDX-License-Identifier: MIT
"""Trees of CSV files: no name leads out of one, and nothing that is no file of one is read or written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessmon.past.csv_tree import CsvFile, LeftOut, Series, open_to_append, open_to_read, survey

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)


@given(NAMES | st.text("./%~-", min_size=1), NAMES | st.text("./%~-", min_size=1))
def test_no_name_leads_out_of_the_tree(station: str, parameter: str) -> None:
    path = Series(station, parameter).path
    assert path is not None
    for part in path:
        assert "/" not in part
        assert not part.startswith(".")
        assert part.isascii()


@pytest.mark.parametrize(
    "name", ["weather_tau225", "APEX central", "../..", "a/b", ".x", "50%", "é ü 望", "-", "%41"]
)
def test_files_are_found_under_the_names_that_they_were_written_for(name: str, tmp_path: Path) -> None:
    series = Series(name, name)
    assert series.path is not None
    with open_to_append(tmp_path, series.path) as file:
        os.write(file.fileno(), b"5,1\n")
    [found] = survey(tmp_path)
    assert isinstance(found, CsvFile)
    assert (found.series, found.path) == (series, series.path)
    assert [place.name for place in tmp_path.iterdir()] == [series.path[0]]


def test_plain_names_are_written_as_they_are() -> None:
    assert Series("APEX", "if_1_systemTemp").path == ("APEX", "if_1_systemTemp.csv")


def test_a_name_that_no_file_can_have_has_none() -> None:
    assert Series("KP", "é" * 200).path is None


def test_links_and_pipes_are_left_out_and_told(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "KP").mkdir(parents=True)
    (outside / "KP" / "secret.csv").write_text("5,1\n")
    tree = tmp_path / "tree"
    (tree / "KP").mkdir(parents=True)
    (tree / "KP" / "good.csv").write_text("5,1\n")
    (tree / "KP" / "link.csv").symlink_to(outside / "KP" / "secret.csv")
    (tree / "KP" / "folder.csv").mkdir()
    (tree / "SMA").symlink_to(outside / "KP")
    (tree / "KP" / "metadata.json").write_text("{}")
    (tree / "notes.txt").write_text("x")
    os.mkfifo(tree / "KP" / "pipe.csv")
    found = list(survey(tree))
    assert [each.path for each in found if isinstance(each, CsvFile)] == [("KP", "good.csv")]
    assert {each.path for each in found if isinstance(each, LeftOut)} == {
        "KP/link.csv",
        "KP/folder.csv",
        "KP/pipe.csv",
        "SMA",
    }


@pytest.mark.parametrize("opens", [open_to_append, open_to_read])
@pytest.mark.parametrize("what", ["link", "pipe", "folder"])
def test_what_took_the_place_of_a_file_meanwhile_is_not_opened(opens, what: str, tmp_path: Path) -> None:
    (tmp_path / "outside.csv").write_text("5,1\n")
    (tmp_path / "KP").mkdir()
    (tmp_path / "KP" / "link.csv").symlink_to(tmp_path / "outside.csv")
    os.mkfifo(tmp_path / "KP" / "pipe.csv")
    (tmp_path / "folder").symlink_to(tmp_path / "KP")
    (tmp_path / "KP" / "x.csv").touch()
    path = {"link": ("KP", "link.csv"), "pipe": ("KP", "pipe.csv"), "folder": ("folder", "x.csv")}[what]
    with pytest.raises(OSError, match=r"symbolic|no file|Not a directory|No such device"):
        opens(tmp_path, path)
    assert (tmp_path / "outside.csv").read_text() == "5,1\n"

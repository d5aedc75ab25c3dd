from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from service.files import half_written
from service.registry import Registry
from workshop.leftovers import OLD, half_removed, half_written_reports, homes, is_old, removed_name


@pytest.mark.parametrize(("age", "old"), [(0, False), (OLD - 60, False), (OLD + 60, True), (-OLD, False)])
def test_a_day_makes_old(tmp_path: Path, age: int, old: bool):
    """A file, a folder and a link by their own time; what is written tomorrow by a wrong clock is not old."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    for path in tmp_path.iterdir():
        os.utime(path, (time.time() - age,) * 2, follow_symlinks=False)
        assert is_old(path) is old
    assert not is_old(tmp_path / "gone")


def test_models_are_found_with_and_without_versions(artifacts: Path):
    """A folder that can be a model's is one, also where the first training crashed; files and odd names are not."""
    for name in ("begun", "Upper", ".hidden"):
        (artifacts / name).mkdir()
    (artifacts / "file").touch()
    assert homes(Registry(artifacts)) == ["begun", "wine"]
    assert homes(Registry(artifacts / "none")) == []


def test_versions_that_were_to_go_are_found_in_their_order(tmp_path: Path):
    """By the name that pruning gives them, oldest version first; no other name is one, nor half-written."""
    folders = [tmp_path / removed_name(version) for version in (10, 2)]
    for path in (*folders, tmp_path / ".removed-3", tmp_path / ".removed-x.0123abcd", tmp_path / "3"):
        path.mkdir()
    assert list(half_removed(tmp_path).items()) == [(folders[1], 2), (folders[0], 10)]
    assert half_written(tmp_path) == []
    assert half_removed(tmp_path / "none") == {}


def test_reports_that_are_half_written_are_found(tmp_path: Path):
    """At the top, beside versions and in them, each once; what a link among the reports leads to is not looked at."""
    reports, name = tmp_path / "reports", ".run-7-0123abcd"
    for place in (reports / name, reports / "wine" / name, reports / "wine" / "3" / name, tmp_path / "away" / name):
        place.mkdir(parents=True)
    (reports / "wine" / "4").symlink_to(tmp_path / "away")
    (reports / "beer").symlink_to(tmp_path / "away")
    found = [str(path.relative_to(reports)) for path in half_written_reports(reports)]
    assert found == [name, f"wine/{name}", f"wine/3/{name}"]
    assert half_written_reports(tmp_path / "none") == []

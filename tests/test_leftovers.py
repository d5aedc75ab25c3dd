from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from service.registry import Registry
from workshop.leftovers import OLD, homes, is_old, leftovers


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


def test_leftovers_lie_beside_versions_and_in_them(artifacts: Path):
    """What begins with a dot, and nothing else."""
    home = artifacts / "wine"
    for path in (home / ".champion-1", home / "1" / ".metrics.json-1", home / "2", home / "note"):
        path.touch()
    assert leftovers(Registry(artifacts), "wine") == [home / ".champion-1", home / "1" / ".metrics.json-1"]

from __future__ import annotations

import pytest

from service import config
from workshop import cleaning


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A house of our own with caches, a model and its report."""
    monkeypatch.setattr(config, "ROOT", tmp_path)
    for name in ("artifacts", "reports"):
        monkeypatch.setenv(f"CELLAR_{name.upper()}", str(tmp_path / name))
        (tmp_path / name / "wine" / "1").mkdir(parents=True)
    for name in cleaning.CACHES:
        (tmp_path / name).mkdir()
    for name in ("README.md", "index.html"):
        (tmp_path / "reports" / name).touch()
    (tmp_path / "data").mkdir()
    return tmp_path


def test_caches_go(house):
    """Without more being asked for, nothing else goes."""
    cleaning.clean(everything=False)
    assert {path.name for path in house.iterdir()} == {"artifacts", "reports", "data"}
    assert (house / "reports" / "wine" / "1").is_dir() and (house / "artifacts" / "wine" / "1").is_dir()


def test_everything_that_was_made_goes(house):
    """Models and reports go, too, and what was written by hand stays; a second time there is nothing to do."""
    cleaning.clean(everything=True)
    cleaning.clean(everything=True)
    assert {str(path.relative_to(house)) for path in house.rglob("*")} == {"reports", "reports/README.md", "data"}

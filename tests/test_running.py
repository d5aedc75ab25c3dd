from __future__ import annotations

import pytest

from service.errors import DataError
from service.registry import Registry
from workshop.execution import Outcome
from workshop.running import _tell, run_notebooks


@pytest.fixture(autouse=True)
def house(tmp_path, monkeypatch):
    """Folders of our own."""
    for name in ("artifacts", "reports"):
        monkeypatch.setenv(f"CELLAR_{name.upper()}", str(tmp_path / name))
    return tmp_path


def test_a_target_needs_a_table(house):
    """A column of which table is not known is refused before anything starts."""
    with pytest.raises(DataError, match="--target names a column of one table: name the table with --data"):
        run_notebooks(target="hue")
    assert not (house / "reports").exists()


def test_what_is_given_by_name_counts_before_parameters(house):
    """An option and `--parameter` are one list of parameters; what has no value was not given."""
    with pytest.raises(DataError, match="must be of type int, got 'many'"):
        run_notebooks(data="wine", parameter=["seed=1"], seed="many", model="")


def test_what_came_of_each_is_told(house, wine_artifacts, capsys):
    """What ran, what had not changed and what failed are each a line; a failure goes to standard error."""
    page = house / "page.html"
    outcomes = [
        Outcome("wine", "wine", 1, report=page),
        Outcome("old", "old", 3, report=page, ran=False),
        Outcome("bad", error="it has no rows", report=page),
    ]
    _tell(outcomes, Registry(wine_artifacts))
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert lines[0].startswith("wine version 1 is the champion: accuracy") and lines[1] == f"  {page}"
    assert lines[2] == f"old: nothing changed since version 3 ({page}); --force runs it again"
    assert lines[3] == f"All versions: {house / 'reports' / 'index.html'}"
    assert told.err == f"bad: it has no rows (see {page})\n"

from __future__ import annotations

import shutil

import pytest

from service.registry import Registry
from workshop import record
from workshop.execution import NOTEBOOKS, STEPS

ALL = [NOTEBOOKS / f"{step}.ipynb" for step in STEPS]


@pytest.fixture
def table(write):
    """A table with its card."""
    return write("a,y\n1,0\n2,1\n", 'target = "y"\n')


@pytest.fixture
def house(artifacts, tmp_path, table):
    """A house whose wine version 1 was made by a run on `table`, with its pages and its record."""
    registry, reports = Registry(artifacts), tmp_path / "reports"
    place = reports / "wine" / "1"
    place.mkdir(parents=True)
    for notebook in ALL:
        for end in ("ipynb", "html"):
            (place / f"{notebook.stem}.{end}").touch()
    record.write(place, record.read_inputs(table, ALL, {}), registry.place("wine", 1))
    return registry, reports


def found(house, table, **given) -> int:
    """Return the version that counts for a run on `table` with these parameters."""
    return record.find(*house, "wine", table, ALL, given)


def test_the_same_run_is_found(house, table):
    """What has not changed is told, parameters that mean their default, and those that change nothing, included."""
    assert found(house, table) == 1
    assert found(house, table, seed="0", estimator=record.parameters.read(ALL[1])["estimator"].default) == 1
    assert found(house, table, model="wine", n_jobs=2) == 1


@pytest.mark.parametrize("given", [{"seed": "1"}, {"target": "a"}, {"promote": "never"}])
def test_another_parameter_is_another_run(house, table, given):
    """A parameter of any of the notebooks counts."""
    assert found(house, table, **given) == 0


@pytest.mark.parametrize("end", [".csv", ".toml"])
def test_another_table_or_card_is_another_run(house, table, end):
    """A byte of the table or of its card counts; so does a card that is gone."""
    path = table.with_suffix(end)
    path.write_bytes(path.read_bytes() + b"\n")
    assert found(house, table) == 0
    table.with_suffix(".toml").unlink()
    assert found(house, table) == 0


@pytest.mark.parametrize("name", ["02_train.ipynb", "modeling/tables/split.py", "service/rows/inputs.py"])
def test_other_code_is_another_run(tmp_path, table, name):
    """A notebook, what it imports, and what that imports, count."""
    root = tmp_path / "root"
    shutil.copytree(NOTEBOOKS, root / "notebooks")
    shutil.copytree(NOTEBOOKS.parent / "service", root / "service")
    notebooks = [root / "notebooks" / path.name for path in ALL]
    before = record.read_inputs(table, notebooks, {})
    path = root / name if name.startswith("service") else root / "notebooks" / name
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    after = record.read_inputs(table, notebooks, {})
    assert before.code != after.code


def test_the_web_is_not_code_of_a_run():
    """What the notebooks run of the service is known by their imports: the application is no part of it."""
    names = {path.relative_to(NOTEBOOKS.parent).as_posix() for path in record.code_of(ALL)}
    assert {
        "notebooks/modeling/tables/split.py",
        "service/bundle.py",
        "service/contents.py",
        "service/errors.py",
        "service/onnx_file.py",
    } <= names
    assert not names & {"service/app.py", "workshop/execution.py"}


@pytest.mark.parametrize("what", ["lock", "python"])
def test_another_environment_is_another_run(house, table, what, monkeypatch):
    """Other packages or another Python count."""
    if what == "lock":
        monkeypatch.setattr(record, "read_lock", lambda: "other==1.0")
    else:
        monkeypatch.setattr("sys.version", "3.99")
    assert found(house, table) == 0


def test_a_run_whose_results_are_gone_does_not_count(house, table, artifacts):
    """A page that is missing, a damaged file, or another bundle under the same number: it runs again."""
    _, reports = house
    page = reports / "wine" / "1" / "03_evaluate.html"
    page.rename(page.with_suffix(".away"))
    assert found(house, table) == 0
    page.with_suffix(".away").rename(page)
    assert found(house, table) == 1
    sums = artifacts / "wine" / "1" / "SHA256SUMS"
    sums.write_text("".join(reversed(sums.read_text().splitlines(keepends=True))))
    assert found(house, table) == 0
    (artifacts / "wine" / "1" / "model.onnx").write_bytes(b"x")
    assert found(house, table) == 0


def test_a_record_that_cannot_be_read_does_not_count(house, table):
    """A torn or foreign record means that nothing is known."""
    (house[1] / "wine" / "1" / record.NAME).write_text('{"inputs": 3')
    assert found(house, table) == 0


def test_always_promotes_again(house, table, artifacts):
    """With promote=always a run counts as done only while its version is champion, for that is what was asked."""
    registry, reports = house
    inputs = record.read_inputs(table, ALL, {"promote": "always"})
    record.write(reports / "wine" / "1", inputs, registry.place("wine", 1))
    assert found(house, table, promote="always") == 1
    (artifacts / "wine" / "champion").write_text("7\n")
    assert found(house, table, promote="always") == 0

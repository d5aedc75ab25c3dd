from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import nbformat
import numpy as np
import pandas as pd
import psutil
import pytest
from bs4 import BeautifulSoup

from service import bundle
from service.errors import DataError
from service.model import load
from service.registry import Registry
from workshop import execution, pipeline, reports
from workshop.execution import ROOT, STEPS, Job

kernel = [pytest.mark.kernel]
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "[here](javascript:alert(3))",
    "![x](http://example.org/x.png)",
    "$\\frac{a}{b}$ `code` **bold** | a_b",
]
ALLOWED = set(reports.TAGS) | set(
    "[document] html head meta title style link body nav main section details summary img".split()
)


class House(NamedTuple):
    """Folders of our own with what a run made in them."""

    folder: Path
    outcomes: dict[str, pipeline.Outcome]
    told: list[tuple]

    @property
    def registry(self) -> Registry:
        """The bundles."""
        return Registry(self.folder / "artifacts")

    def page(self, *words: str) -> BeautifulSoup:
        """Read a page below reports/."""
        text = self.folder.joinpath("reports", *words).read_text(encoding="utf-8")
        return BeautifulSoup(text, "html.parser")


def settings(folder: Path) -> dict[str, str]:
    """Return the environment variables that make `folder` the house."""
    return {"CELLAR_ARTIFACTS": str(folder / "artifacts"), "CELLAR_REPORTS": str(folder / "reports")}


def run(folder: Path, *jobs: Job, force: bool = False) -> House:
    """Run jobs side by side in a house."""
    told: list[tuple] = []
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings(folder).items():
            patch.setenv(name, value)
        outcomes = pipeline.run_all(jobs, told.append, force)
        house = House(folder, {outcome.name: outcome for outcome in outcomes}, told)
        reports.write_index(folder / "reports", house.registry)
    return house


def running_in(folder: Path) -> list[str]:
    """Name the processes that work for a house."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get("CELLAR_ARTIFACTS") == str(folder / "artifacts")
            words = " ".join(process.cmdline())
            # Python's resource tracker belongs to the process of the tests.
            if ours and process.status() != "zombie" and "resource_tracker" not in words:
                found.append(words)
        except psutil.Error:
            continue
    return found


def nothing_runs_in(folder: Path, patience: float = 10) -> bool:
    """Say whether every process of a house has ended, or ends soon."""
    give_up = time.monotonic() + patience
    while running_in(folder) and time.monotonic() < give_up:
        time.sleep(0.1)
    return not running_in(folder)


def hostile_table(path: Path) -> Path:
    """Write a table whose names and categories are markup, and its card."""
    draw, rows = np.random.default_rng(0), 90
    table = pd.DataFrame({name: draw.normal(size=rows).round(3) for name in HOSTILE})
    table["kind"] = draw.choice(HOSTILE, rows)
    table.loc[::9, HOSTILE[1]] = None
    table["<b onclick=alert(4)>y"] = np.where(table[HOSTILE[0]] > 0, HOSTILE[0], HOSTILE[2])
    table.to_csv(path, index=False)
    path.with_suffix(".toml").write_text(
        f'title = "{HOSTILE[0]}"\ntarget = "<b onclick=alert(4)>y"\nquestion = "{HOSTILE[1]} {HOSTILE[2]}"\n'
        f'[columns.kind]\nunit = "{HOSTILE[0]}"\nmeaning = "{HOSTILE[1]}"\n',
        encoding="utf-8",
    )
    return path


BAD = {
    "empty": ("", {}, r"empty\.csv is empty: give a CSV file with a header and rows"),
    "ragged": ("a,y\n1,0\n2,1,5\n", {"target": "y"}, r"ragged\.csv: line 3 has 3 values, .*: correct the line"),
    "one class": ("a,y\n1,0\n2,0\n", {"target": "y"}, r"one class\.csv: the target 'y' has only one value, 0: .*; add"),
    "few": ("a,y\n1,0\n2,1\n3,0\n4,1\n5,0\n6,1\n", {"target": "y"}, r"few\.csv: only \d rows are left to train"),
}  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> House:
    """Both tables of the house, run side by side."""
    data = ROOT / "data"
    return run(tmp_path_factory.mktemp("house"), Job(data / "wine.csv"), Job(data / "diabetes.csv"))


@pytest.fixture(scope="module")
def strange(tmp_path_factory) -> House:
    """A hostile table and bad ones, run side by side."""
    folder = tmp_path_factory.mktemp("strange")
    jobs = [Job(hostile_table(folder / "hostile.csv"), {"estimator": "logistic_regression"})]
    for name, (text, given, _) in BAD.items():
        (folder / f"{name}.csv").write_text(text)
        jobs.append(Job(folder / f"{name}.csv", given))
    return run(folder, *jobs)


@pytest.fixture(scope="module")
def again(house, tmp_path_factory) -> House:
    """The house of a second time: wine with another estimator, diabetes with a worse one."""
    folder = tmp_path_factory.mktemp("again") / "house"
    shutil.copytree(house.folder, folder)
    wine = Job(ROOT / "data" / "wine.csv", {"estimator": "logistic_regression", "seed": 1})
    diabetes = Job(ROOT / "data" / "diabetes.csv", {"estimator": "lasso", "features": ["sex"]})
    return run(folder, wine, diabetes)


class TestBothTables:
    """What one run of the whole pipeline leaves."""

    pytestmark = kernel

    @pytest.mark.parametrize("name", ["wine", "diabetes"])
    def test_a_version_is_published_and_champion(self, house, name):
        """Each table has version 1, promoted by the gate with its reasons, which loads and answers."""
        assert house.outcomes[name].error == "" and house.outcomes[name].version == 1
        assert house.registry.versions(name) == [1] and house.registry.champion(name) == 1
        (event,) = house.registry.history(name)
        assert event.action == "promote" and "against the baseline's" in event.reason
        model = load(house.registry.place(name, 1))
        assert model.bundle.metrics.verdict.promote and model.bundle.metrics.rows >= 40

    @pytest.mark.parametrize("name", ["wine", "diabetes"])
    def test_the_reports_are_there(self, house, name):
        """Each notebook is kept executed and as a page, nothing else, and the outcome names the last page."""
        folder = house.folder / "reports" / name / "1"
        assert {path.name for path in folder.iterdir()} == {
            f"{step}.{end}" for step in STEPS for end in ("ipynb", "html")
        } | {"run.json"}
        assert house.outcomes[name].report == folder / "03_evaluate.html"
        assert set(house.outcomes[name].seconds) == {*STEPS, "html"}
        assert {path.name for path in (house.folder / "reports").iterdir()} == {"wine", "diabetes", "index.html"}

    @pytest.mark.parametrize("step", STEPS)
    def test_an_executed_notebook_tells_of_its_run(self, house, step):
        """papermill's record holds parameters, times and success; no path of this machine is in it."""
        path = house.folder / "reports" / "diabetes" / "1" / f"{step}.ipynb"
        document = nbformat.read(path, as_version=4)
        record = document.metadata.papermill
        assert record.exception is None and record.duration > 0
        assert record.parameters["data"] == "../data/diabetes.csv"
        assert all(cell.execution_count for cell in document.cells if cell.cell_type == "code" and cell.source)
        outputs = [out for cell in document.cells for out in cell.get("outputs", [])]
        assert not [out for out in outputs if out.output_type == "error" or out.get("name") == "stderr"]

    def test_the_numbers_agree(self, house):
        """The listed metric, the bundle's and the page's are one."""
        metrics = load(house.registry.place("wine", 1)).bundle.metrics
        told = f"accuracy {metrics.held_out['accuracy'].value:.3f}"
        assert told in house.page("index.html").text
        assert told in house.page("wine", "1", "03_evaluate.html").text

    def test_progress_counts_every_cell(self, house):
        """Each notebook starts, tells as many cells as it announced, and ends."""
        for job in ("wine", "diabetes"):
            for step in STEPS:
                (total,) = [message[3] for message in house.told if message[:3] == ("start", job, step)]
                assert house.told.count(("cell", job, step)) == total
                assert house.told.count(("end", job, step, True)) == 1

    @pytest.mark.parametrize("step", STEPS)
    @pytest.mark.parametrize("name", ["wine", "diabetes"])
    def test_a_page_needs_nothing_from_elsewhere(self, house, name, step):
        """No script, no other file, a policy, folded code, and words for every picture."""
        soup = house.page(name, "1", f"{step}.html")
        assert {tag.name for tag in soup.find_all(True)} <= ALLOWED
        assert "default-src 'none'" in soup.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
        assert all(tag["src"].startswith("data:image/png;base64,") for tag in soup.find_all(src=True))
        assert not re.search(r"url\(|@import", str(soup.find_all("style")))
        assert all(len(image["alt"]) > 20 for image in soup("img")) and soup("img")
        code = soup.find_all(class_="highlight")
        assert code and all(block.find_parent("details") for block in code)
        assert soup.h1 and soup.find(string=re.compile("Conclusion"))

    def test_no_process_is_left(self, house):
        """Kernels and workers end with the run."""
        assert nothing_runs_in(house.folder)

    def test_nothing_changed_and_nothing_runs(self, house):
        """A second time no cell is executed and the outcome names the version that stands; `force` makes another."""
        before = sorted(path.stat().st_mtime_ns for path in house.folder.rglob("*"))
        same = run(house.folder, Job(ROOT / "data" / "wine.csv", {"seed": "0"}))
        assert same.told == [] and house.registry.versions("wine") == [1]
        assert same.outcomes["wine"].version == 1 and not same.outcomes["wine"].ran
        assert same.outcomes["wine"].report == house.outcomes["wine"].report
        index = (house.folder / "reports" / "index.html").stat().st_mtime_ns
        after = sorted(path.stat().st_mtime_ns for path in house.folder.rglob("*"))
        assert len(before) == len(after) and index in after

    def test_force_runs_it_again(self, house, tmp_path):
        """Nothing changed, and still every cell is executed and a version is made."""
        shutil.copytree(house.folder, tmp_path / "house")
        forced = run(tmp_path / "house", Job(ROOT / "data" / "diabetes.csv"), force=True)
        assert forced.outcomes["diabetes"].ran and forced.registry.versions("diabetes") == [1, 2]


class TestStrangeTables:
    """What becomes of tables that are hostile or bad."""

    pytestmark = kernel

    @pytest.mark.parametrize("step", STEPS)
    def test_hostile_names_are_shown_and_never_act(self, strange, step):
        """Markup in names, categories and the card is text in the report."""
        assert strange.outcomes["hostile"].error == ""
        soup = strange.page("hostile", "1", f"{step}.html")
        for tag in soup.find_all(True):
            assert tag.name in ALLOWED, tag
            assert not [name for name in tag.attrs if name.startswith("on")], tag
            assert not re.match(r"\s*(javascript|http)", str(tag.get("href") or tag.get("src") or "")), tag
        if step == "01_explore":
            for name in HOSTILE:
                assert soup.find(["td", "th"], string=lambda text, name=name: text and text.strip() == name), name

    def test_hostile_names_are_served(self, strange):
        """The model of the hostile table answers under its columns' own names."""
        model = load(strange.registry.place("hostile", 1))
        assert sorted(model.schema.names) == sorted([*HOSTILE, "kind"])
        assert set(model.classes) == {HOSTILE[0], HOSTILE[2]}

    @pytest.mark.parametrize("name", BAD)
    def test_a_bad_table_ends_in_a_sentence(self, strange, name):
        """The outcome is one line, the same line stands in the executed notebook and its page, nothing is published."""
        outcome = strange.outcomes[name]
        assert re.match(BAD[name][2], outcome.error) and "\n" not in outcome.error and outcome.version == 0
        assert outcome.report == strange.folder / "reports" / outcome.model / "failed" / outcome.report.name
        document = nbformat.read(outcome.report.with_suffix(".ipynb"), as_version=4)
        errors = [
            out.evalue for cell in document.cells for out in cell.get("outputs", []) if out.output_type == "error"
        ]
        assert errors == [outcome.error]
        page = BeautifulSoup(outcome.report.read_text(), "html.parser")
        assert outcome.error in page.find(class_="output_error").text
        assert "Traceback" not in page.text
        assert strange.registry.models() == ["hostile"]

    def test_a_late_failure_is_told_on_every_page(self, tmp_path):
        """Pages that were begun for a version, before the evaluation failed, say failed like the last one."""
        (tmp_path / "artifacts" / "wine" / "champion").mkdir(parents=True)
        house = run(tmp_path, Job(ROOT / "data" / "wine.csv", {"estimator": "decision_tree"}))
        assert "wine/champion" in house.outcomes["wine"].error
        assert [path.name for path in (tmp_path / "reports" / "wine").iterdir()] == ["failed"]
        for step in STEPS:
            assert house.page("wine", "failed", f"{step}.html").title.text.endswith("wine, failed · Cellar")
        assert house.registry.candidates("wine") == [1] and not house.registry.versions("wine")

    def test_no_process_is_left(self, strange):
        """Kernels of notebooks that failed end, too."""
        assert nothing_runs_in(strange.folder)


class TestSecondRun:
    """What a second run adds."""

    pytestmark = kernel

    def test_it_becomes_version_2(self, house, again):
        """A second run leaves the first as it was, byte for byte, with its report."""
        for name in ("wine", "diabetes"):
            assert again.outcomes[name].version == 2 and again.registry.versions(name) == [1, 2]
            for path in house.registry.place(name, 1).iterdir():
                assert path.read_bytes() == (again.registry.place(name, 1) / path.name).read_bytes()
            assert (again.folder / "reports" / name / "1" / "03_evaluate.html").is_file()

    def test_the_gate_compares_on_rows_that_both_held_out(self, again):
        """Another seed holds out other rows: the two are compared on those in common, which are fewer."""
        metrics = load(again.registry.place("wine", 2)).bundle.metrics
        counts = [int(re.search(r"on (\d+) held-out rows", reason)[1]) for reason in metrics.verdict.reasons[:2]]
        assert "of the champion, version 1" in metrics.verdict.reasons[1]
        assert re.match(r"(passed|failed): the recall of (no )?class ", metrics.verdict.reasons[2])
        assert len(set(counts)) == 1 and counts[0] < metrics.rows
        assert metrics.verdict.champion == 1

    def test_a_worse_model_is_published_and_not_promoted(self, again):
        """One that loses to the champion can be looked at and is not served."""
        verdict = load(again.registry.place("diabetes", 2)).bundle.metrics.verdict
        assert not verdict.promote and any(reason.startswith("failed: r2") for reason in verdict.reasons)
        assert again.registry.champion("diabetes") == 1
        assert len(again.registry.history("diabetes")) == 1

    def test_the_guard_rails_hold_a_forgetful_model_back(self, house, tmp_path):
        """Where no recall may fall at all, a tree is held back by name of the class, and a word overrules the gate."""
        shutil.copytree(house.folder, tmp_path / "house")
        given = {"estimator": "decision_tree", "recall_drop": 0.0, "growth": 0.0, "promote": "always"}
        forced = run(tmp_path / "house", Job(ROOT / "data" / "wine.csv", given))
        verdict = load(forced.registry.place("wine", 2)).bundle.metrics.verdict
        assert not verdict.promote
        assert any(re.match(r"failed: the recall of class \d falls from ", reason) for reason in verdict.reasons)
        assert any(reason == "passed: one row answered within 5 ms" for reason in verdict.reasons)
        event = forced.registry.history("wine")[-1]
        assert (event.version, event.previous) == (2, 1)
        assert event.reason == f"promote=always, in spite of the gate: {verdict.objection}"

    def test_the_index_lists_both(self, again):
        """Newest first, with a link to each report."""
        links = [a["href"] for a in again.page("index.html")("a")]
        assert [link for link in links if link.startswith("wine")] == [
            "wine/2/03_evaluate.html",
            "wine/1/03_evaluate.html",
        ]


def start_pipeline(folder):
    """Start the pipeline for one table in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "invoke", "pipeline", "--data", "wine"],
        cwd=ROOT,
        env={**os.environ, **settings(folder)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


class TestOtherWays:
    """The notebooks by other means, and runs that are stopped."""

    pytestmark = kernel

    def test_plain_papermill_works(self, tmp_path):
        """The command line of papermill, from the root of the repository, makes a candidate."""
        words = ["-m", "papermill", "notebooks/02_train.ipynb", str(tmp_path / "out.ipynb")]
        words += ["-p", "data", "../data/wine.csv", "-p", "estimator", "logistic_regression", "--no-progress-bar"]
        done = subprocess.run(
            [sys.executable, *words],
            cwd=ROOT,
            env={**os.environ, **settings(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert bundle.versions(tmp_path / "artifacts" / "wine") == [1]
        assert Registry(tmp_path / "artifacts").versions("wine") == []
        assert nbformat.read(tmp_path / "out.ipynb", as_version=4).metadata.papermill.exception is None

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
    def test_a_lost_parent_leaves_nothing(self, tmp_path, number):
        """Where the command itself is ended, its workers and kernels end soon after it, and nothing is published."""
        running = start_pipeline(tmp_path)
        running.stderr.readline()
        running.send_signal(number)
        running.wait(timeout=30)
        running.stderr.close()
        deadline = time.monotonic() + 20
        while not nothing_runs_in(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert nothing_runs_in(tmp_path)
        assert not Registry(tmp_path / "artifacts").models()
        assert list((tmp_path / "reports").iterdir()) == []

    def test_ctrl_c_leaves_nothing(self, tmp_path):
        """Stopped in the middle, every process ends, nothing is published and no half report stays."""
        running = start_pipeline(tmp_path)
        first = running.stderr.readline()
        os.killpg(running.pid, signal.SIGINT)
        _, rest = running.communicate(timeout=30)
        assert re.match(r" +wine 01_explore +done in ", first)
        assert running.returncode == 130 and "Traceback" not in rest and "stopped" in rest
        assert nothing_runs_in(tmp_path)
        assert not Registry(tmp_path / "artifacts").models()
        assert list((tmp_path / "reports").iterdir()) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"tset_size": 0.3}, r"no notebook has a parameter 'tset_size'; did you mean 'test_size'"),
        ({"x=1\nimport os": 1}, r"no notebook has a parameter "),
        ({"promote": "magic"}, r"the parameter `promote` must be one of if_better, never, always, got 'magic'"),
        ({"seed": "now"}, r"`seed` .* must be of type int"),
        ({"search": "gird"}, r"must be one of grid, random, none, got 'gird'; did you mean 'grid'\?"),
        ({"coverage": 1.0}, r"the parameter `coverage` must lie between 0 and 1, got 1"),
        ({"growth": -1.0}, r"the parameter `growth` must be a number of at least 0, got -1.0"),
        ({"folds": 1}, r"the parameter `folds` must be a number of at least 2, got 1"),
        ({"model": "../../etc"}, r"the parameter `model`: '\.\./\.\./etc' cannot name a model"),
        ({"model": "Wine"}, r"the parameter `model`: 'Wine' cannot name a model"),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_starts(tmp_path, given, told):
    """Names and values that cannot be right start no process and write nothing."""
    start = time.monotonic()
    with pytest.raises(DataError, match=told):
        run(tmp_path, Job(ROOT / "data" / "wine.csv", given))
    assert time.monotonic() - start < 1 and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"estimator": "decison_tree"}, r"wine: .*'decison_tree' is not an estimator here; did you mean 'decision_"),
        ({"estimator": "ridge"}, r"wine: .*'ridge' is for regression, and this is a classification; choose among"),
        ({"estimator": "lda", "task": "regression"}, r"'lda' is for classification, and this is a regression"),
        ({"estimator": "rigde", "target": "hue"}, r"'rigde' is not an estimator here; did you mean 'ridge'"),
        ({"estimator": "x" * 500}, r"'x{80}' is not an estimator here; choose among auto, logistic_regression"),
    ],
)
def test_a_mistyped_estimator_is_refused_before_anything_starts(tmp_path, given, told):
    """The names are known, and for which task, as far as the card or a parameter says the table's."""
    with pytest.raises(DataError, match=told):
        run(tmp_path, Job(ROOT / "data" / "wine.csv", given))
    assert list(tmp_path.iterdir()) == []


def test_two_tables_do_not_become_one_model(tmp_path):
    """A name for the model is refused where several tables would get it."""
    jobs = [Job(ROOT / "data" / f"{name}.csv", {"model": "mine"}) for name in ("wine", "diabetes")]
    with pytest.raises(DataError, match=r"2 tables would become one model, 'mine': name one of the tables"):
        run(tmp_path, *jobs)


@pytest.fixture
def parallel(tmp_path, monkeypatch) -> Path:
    """A folder of notebooks of which the second can compute in several processes."""
    for step in STEPS:
        text = "n_jobs = -1  # processes" if step == "02_train" else "seed = 0  # of chance"
        cell = nbformat.v4.new_code_cell(text, metadata={"tags": ["parameters"]})
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / f"{step}.ipynb")
    monkeypatch.setattr(execution, "NOTEBOOKS", tmp_path)
    return tmp_path


@pytest.mark.parametrize(("jobs", "processors", "share"), [(1, 8, None), (2, 8, 4), (3, 8, 2), (9, 4, 1), (2, 1, None)])
def test_jobs_side_by_side_share_the_processors(parallel, jobs, processors, share):
    """Each of those that run at once gets its part, at least one; a job alone keeps the notebook's own default."""
    shared = pipeline.share_processors([Job(Path(f"{n}.csv")) for n in range(jobs)], processors)
    assert [job.given.get("n_jobs") for job in shared] == [share] * jobs


def test_a_share_that_was_given_stays(parallel):
    """What the user says of the processes goes before the share, and notebooks without the parameter get none."""
    jobs = [Job(Path("a.csv"), {"n_jobs": "3"}), Job(Path("b.csv"), steps=("01_explore",))]
    assert [job.given for job in pipeline.share_processors(jobs, 8)] == [{"n_jobs": "3"}, {}]


def test_tables_are_found(tmp_path, monkeypatch):
    """By name in data/, by path, or all of them."""
    monkeypatch.setenv("CELLAR_DATA", str(ROOT / "data"))
    assert pipeline.find_tables("wine") == [ROOT / "data" / "wine.csv"]
    assert pipeline.find_tables(str(ROOT / "data" / "wine.csv")) == [ROOT / "data" / "wine.csv"]
    assert [path.stem for path in pipeline.find_tables()] == ["diabetes", "wine"]
    for odd in ("nothing", "~nobody-here/x.csv", "x" * 5000, "\0"):
        with pytest.raises(DataError, match=r"there is no table .*: name a file in .* or give a path"):
            pipeline.find_tables(odd)
    monkeypatch.setenv("CELLAR_DATA", str(tmp_path))
    with pytest.raises(DataError, match="holds no CSV: put a table there, or set CELLAR_DATA"):
        pipeline.find_tables()
    monkeypatch.setenv("CELLAR_DATA", str(tmp_path / "no"))
    with pytest.raises(DataError, match="is missing: make it, or set CELLAR_DATA"):
        pipeline.find_tables()


def test_reports_name_no_folder_of_this_machine():
    """A table of the house is told relative to the notebooks, another by its whole path."""
    assert execution._from_notebooks(ROOT / "data" / "wine.csv") == "../data/wine.csv"
    assert json.dumps(execution._from_notebooks(Path("/elsewhere/t.csv"))) == '"/elsewhere/t.csv"'

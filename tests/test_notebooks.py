"""The form of the notebooks, by their text alone."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request) -> Path:
    """Each notebook."""
    return request.param


@pytest.fixture
def document(path) -> dict:
    """The notebook as JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def sources(document: dict, kind: str) -> list[str]:
    """Return the text of every cell of a kind."""
    return ["".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == kind]


def parameters_cells(document: dict) -> list[str]:
    """Return the text of every cell tagged `parameters`."""
    return ["".join(c["source"]) for c in document["cells"] if "parameters" in c["metadata"].get("tags", [])]


def test_there_are_three_and_one():
    """Explore, train and evaluate, numbered in their order; beside them, what checks the whole on published numbers."""
    assert [path.stem for path in PATHS] == ["01_explore", "02_train", "03_evaluate", "reproduce"]


def test_the_file_is_clean(path, document):
    """Version 4.5, nothing but kernel and language in the metadata, written as Jupyter writes it."""
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    assert set(document["metadata"]) == {"kernelspec", "language_info"}
    assert document["metadata"]["kernelspec"]["name"] == "python3"
    assert path.read_text(encoding="utf-8") == json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def test_nothing_was_run(document):
    """No outputs and no execution counts are kept."""
    for cell in document["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
        assert set(cell["metadata"]) <= {"tags"}


def test_ids_are_words(document):
    """Cells are named by hand, so that a diff tells which one changed."""
    ids = [cell["id"] for cell in document["cells"]]
    assert len(set(ids)) == len(ids)
    for name in ids:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name), name


def test_cells_are_short_and_few(document):
    """At most 24 code cells of at most 15 lines (blank ones aside), most of them far shorter."""
    lengths = sorted(len(list(filter(None, source.splitlines()))) for source in sources(document, "code"))
    assert len(lengths) <= 24
    assert lengths[-1] <= 15
    assert lengths[len(lengths) // 2] <= 8


def test_it_opens_with_its_question(document):
    """The first cell is a title and about three sentences: the question, what goes in, what comes out."""
    first = document["cells"][0]
    title, _, text = "".join(first["source"]).partition("\n\n")
    assert first["cell_type"] == "markdown" and re.fullmatch(r"# \w[^\n]+", title)
    assert "?" in text and 2 <= len(re.findall(r"[.?](?=\s|$)", text)) <= 4


def test_it_closes_with_a_computed_conclusion(document):
    """The last cell makes its sentences from values."""
    heading, last = document["cells"][-2:]
    assert "".join(heading["source"]) == "## Conclusion"
    assert last["cell_type"] == "code" and re.search(r"f\"- .*\{", "".join(last["source"]))


def test_no_result_stands_in_prose(document):
    """Prose holds no figure that a run would change: parameters change and prose does not."""
    for source in sources(document, "markdown"):
        bare = re.sub(r"`[^`]*`|\b0[123]_\w+|95 % interval|32-bit", "", source)
        assert not re.search(r"\d", bare), source


def test_there_is_one_parameters_cell(document):
    """It is the first code cell, and each of its lines is one literal with one `=` and a help text."""
    (source,) = parameters_cells(document)
    assert source == sources(document, "code")[0]
    for line in source.splitlines():
        code, _, told = line.partition("  # ")
        assert code.count("=") == 1 and told.strip(), line
        (statement,) = ast.parse(code).body
        assert isinstance(statement, (ast.Assign, ast.AnnAssign)), line
        assert type(ast.literal_eval(statement.value)) in (str, int, float, bool, list), line
        if isinstance(statement, ast.AnnAssign):
            assert ast.unparse(statement.annotation) in ("str", "int", "float", "bool", "list"), line


def test_papermill_sees_the_same_parameters(path, document):
    """papermill, which reads the cell in its own way, finds the names, types and helps that stand there."""
    from papermill.inspection import inspect_notebook

    from workshop import parameters

    ours = parameters.read(path)
    theirs = inspect_notebook(str(path))
    assert list(theirs) == list(ours)
    for name, told in theirs.items():
        assert ast.literal_eval(told["default"]) == ours[name].default
        assert told["help"] == ours[name].help


def test_every_figure_is_labelled(document):
    """Whoever makes a figure gives it a title, axis labels and a text for those who do not see it."""
    for source in sources(document, "code"):
        if "plt.subplots" in source:
            assert re.search(r"title", source), source
            assert "alt=" in source, source


def test_it_is_clean_for_ruff(path):
    """Style and form are those of the rest of the code."""
    for words in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, "--no-cache", str(path)],
            cwd=NOTEBOOKS.parent,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_notebooks_import_is_there(document):
    """Every name that a notebook takes from the house exists."""
    import importlib

    for source in sources(document, "code"):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in ("modeling", "service"):
                module = importlib.import_module(node.module)
                for name in node.names:
                    found = hasattr(module, name.name) or importlib.import_module(f"{node.module}.{name.name}")
                    assert found, name.name

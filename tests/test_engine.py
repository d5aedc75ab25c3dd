from __future__ import annotations

import nbformat
import pytest
from nbclient.exceptions import DeadKernelError
from nbformat.v4 import new_code_cell, new_notebook

from modeling.progress import MIME
from workshop import engine, kernel

pytestmark = pytest.mark.kernel

PARAMETERS = "seed = 0  # of chance"
STEPS = """\
from modeling import progress
progress.INTERVAL = 0
with progress.Steps(3, "fits") as steps:
    for name in ["ridge", "svm", "lasso"]:
        steps.advance()
"""


def write(folder, name, *cells):
    """Write a notebook of a parameters cell and these cells."""
    first = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    kernelspec = {"name": "python3", "language": "python", "display_name": "Python 3"}
    document = new_notebook(cells=[first, *map(new_code_cell, cells)], metadata={"kernelspec": kernelspec})
    nbformat.write(document, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


def execute(notebook, warm):
    """Execute a notebook; return the document and what was told: each part, and None for each cell."""
    told = []
    output = notebook.with_name(f"{{{notebook.stem}}}.ipynb")
    warm.forget()
    document = engine.execute(
        notebook, output, {"seed": 7}, warm, on_cell=lambda **_: told.append(None), on_part=told.append
    )
    assert nbformat.read(output, as_version=4) == document
    return document, told


def test_a_cell_tells_of_its_progress_while_it_runs(tmp_path):
    """Every update arrives before the cell's end, and only the last sentence stays in the executed notebook."""
    notebook = write(tmp_path, "long", STEPS)
    with kernel.started([notebook]) as warm:
        document, told = execute(notebook, warm)
    assert told == [None, None, *({"done": done, "total": 3, "what": ""} for done in range(4)), None]
    (output,) = document.cells[-1].outputs
    assert output.data == {"text/plain": "3 of 3 fits"} and MIME not in str(document)


def test_notebooks_share_imports_and_nothing_else(tmp_path):
    """The second finds what the first imported, computes with one thread, and none of its names or cells."""
    one = write(tmp_path, "one", "import colorsys\nmine = 1")
    two = write(
        tmp_path,
        "two",
        "import os, sys\nprint('colorsys' in sys.modules, 'mine' in globals(), len(In), os.environ['OMP_NUM_THREADS'])",
    )
    with kernel.started([one, two]) as warm:
        execute(one, warm)
        document, _ = execute(two, warm)
    assert document.cells[-1].outputs[0].text == "True False 4 1\n"


def test_a_kernel_that_dies_leaves_what_there_is(tmp_path):
    """The executed part of the notebook is kept, and the next notebook is told that no kernel is there."""
    notebook = write(tmp_path, "dying", "print('before')", "import os\nos._exit(1)")
    with kernel.started([notebook]) as warm:
        warm.wait()
        with pytest.raises(DeadKernelError):
            engine.execute(notebook, tmp_path / "out.ipynb", {"seed": 7}, warm, on_cell=lambda **_: None, on_part=print)
        with pytest.raises(DeadKernelError):
            warm.forget()
    kept = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert kept.cells[2].outputs[0].text == "before\n"


def test_what_notebooks_import_is_known_before(tmp_path):
    """Every import statement of the cells, once, and nothing else."""
    one = write(tmp_path, "one", "import json\nx = json.dumps(1)", "from math import pi, tau")
    two = write(tmp_path, "two", "import json")
    assert kernel.imports([one, two]) == "import json\nfrom math import pi, tau"

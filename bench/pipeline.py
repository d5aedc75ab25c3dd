"""How much longer `inv pipeline` takes than the same code as a plain Python script.

The script is the three notebooks' code cells, one after the other in one fresh process, with the same parameters: what
a cell shows is printed, and its figures are rendered as the notebook renders them. It starts no kernel, keeps no
executed notebook and makes no page, which is what the ratio measures. Script and pipeline take turns, because a
machine is now faster and now slower; for several tables, each side runs them side by side.
"""

from __future__ import annotations

import ast
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from workshop import parameters
from workshop.execution import NOTEBOOKS, ROOT, STEPS
from workshop.kernel import ONE_THREAD
from workshop.pipeline import find_tables

PAIRS = 5
PREAMBLE = """\
import IPython.display
from IPython.core.pylabtools import print_figure
from matplotlib.figure import Figure


def display(*shown, **options):
    for one in shown:
        print(len(print_figure(one)) if isinstance(one, Figure) else one)


IPython.display.display = display
In = []
"""
"""What a notebook has from IPython: the list of its cells, and how it shows things; the rest it imports itself."""


def as_script(data: Path) -> str:
    """Return the code of the three notebooks for one table as a Python script."""
    parts = [PREAMBLE]
    for step in STEPS:
        notebook = NOTEBOOKS / f"{step}.ipynb"
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                parts.append(_printing("".join(cell["source"])))
                if "parameters" in cell["metadata"].get("tags", []):
                    given = parameters.choose(notebook, {"data": str(data)})
                    parts += [f"{name} = {value!r}" for name, value in given.items()]
    return "\n".join(parts)


def _printing(source: str) -> str:
    """Return a cell that prints the value of its last line, which a notebook would show."""
    body = ast.parse(source).body
    if body and isinstance(body[-1], ast.Expr):
        body[-1].value = ast.Call(ast.Name("display"), [body[-1].value], [])
    return ast.unparse(body)


def seconds_of(commands: Sequence[Sequence[str]]) -> float:
    """Run commands side by side in a house of their own until the last has ended; return the wall-clock seconds."""
    with tempfile.TemporaryDirectory(prefix="cellar-bench-") as folder:
        folders = {"CELLAR_ARTIFACTS": f"{folder}/artifacts", "CELLAR_REPORTS": f"{folder}/reports"}
        environ = {**os.environ, **folders, **ONE_THREAD, "MPLBACKEND": "agg"}
        started = time.perf_counter()
        running = [
            subprocess.Popen(words, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for words in commands
        ]
        told = [process.communicate()[1] for process in running]
        seconds = time.perf_counter() - started
    for process, stderr in zip(running, told, strict=True):
        if process.returncode:
            sys.exit(f"{' '.join(process.args)} failed, so there is nothing to compare: {stderr.decode()[-500:]}")
    return seconds


def measure(tables: Sequence[Path], folder: Path, pairs: int = PAIRS) -> list[tuple[float, float]]:
    """Return for each pair of runs the seconds of the scripts, one a table, and of the pipeline for these tables."""
    scripts = []
    for table in tables:
        path = folder / f"{table.stem}.py"
        path.write_text(as_script(table), encoding="utf-8")
        scripts.append([sys.executable, str(path)])
    one = ["--data", str(tables[0])] if len(tables) == 1 else []
    pipeline = [sys.executable, "-m", "invoke", "pipeline", *one]
    return [(seconds_of(scripts), seconds_of([pipeline])) for _ in range(pairs)]


def main() -> None:
    """Print for each table, and for all of them, the median seconds of both and the median of the paired ratios."""
    every = find_tables()
    print(f"{'tables':<20}  script, s  pipeline, s  ratio (each pair)")
    with tempfile.TemporaryDirectory(prefix="cellar-bench-") as folder:
        for tables in [*([table] for table in every), every]:
            pairs = measure(tables, Path(folder))
            script, pipeline = (statistics.median(side) for side in zip(*pairs, strict=True))
            ratios = [ours / plain for plain, ours in pairs]
            name = tables[0].stem if len(tables) == 1 else "all, side by side"
            told = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            print(f"{name:<20}  {script:9.2f}  {pipeline:11.2f}  {statistics.median(ratios):.2f} ({told})", flush=True)


if __name__ == "__main__":
    main()

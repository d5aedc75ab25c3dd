"""Time and memory of the whole pipeline, with `estimator="auto"`, on a made table of a million rows and 20 columns.

Numbers, categories, truth values and dates, some of them missing, and a price that depends on a few of them. The
memory is that of all processes together, each page counted in each process that holds it, looked at ten times a second.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

ROOT = Path(__file__).resolve().parent.parent
ROWS = 1_000_000


def make_table(rows: int, seed: int = 0) -> pd.DataFrame:
    """Return the table: 12 numbers, 4 categories, 2 columns of truth values, a date, and the target `price`."""
    draw = np.random.default_rng(seed)
    table = pd.DataFrame({f"number {at}": draw.normal(100, 15, rows).round(2) for at in range(12)})
    for at, size in enumerate((3, 8, 20, 50)):
        table[f"category {at}"] = draw.choice([f"kind {letter}" for letter in range(size)], rows)
    for at in range(2):
        table[f"truth {at}"] = draw.random(rows) < 0.3
    table["sold"] = np.datetime64("2015-01-01") + draw.integers(0, 3650, rows).astype("timedelta64[D]")
    table["price"] = (
        table["number 0"] * 3
        + np.square(table["number 1"] - 100) / 10
        + (table["category 1"] == "kind 2") * 80
        + table["truth 0"] * 40
        + table["sold"].dt.month * 5
        + draw.normal(0, 20, rows)
    ).round(2)
    for at in range(4):
        table.loc[draw.random(rows) < 0.05, f"number {at + 2}"] = np.nan
    return table


def run(folder: Path) -> tuple[int, float, float]:
    """Run the pipeline on `folder`/million.csv; return its exit code, seconds, and the most memory in GB."""
    places = {f"CELLAR_{name.upper()}": str(folder / name) for name in ("artifacts", "reports")}
    words = [sys.executable, str(ROOT / "tasks.py"), "pipeline", "--data", str(folder / "million.csv")]
    started, most = time.perf_counter(), 0
    process = subprocess.Popen([*words, "--target", "price"], env={**os.environ, **places})
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        most = max(most, sum(_held(each) for each in [watched, *watched.children(recursive=True)]))
        time.sleep(0.1)
    return process.returncode, time.perf_counter() - started, most / 1e9


def _held(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def main() -> int:
    """Make the table, run the pipeline, print time and memory; return the pipeline's exit code."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory(prefix="cellar-million-") as name:
        folder = Path(name)
        make_table(rows).to_csv(folder / "million.csv", index=False)
        size = (folder / "million.csv").stat().st_size / 1e6
        print(f"{rows:,} rows of 20 columns, {size:.0f} MB as CSV", flush=True)
        code, seconds, memory = run(folder)
    print(f"{seconds:.0f} s in all, at most {memory:.2f} GB")
    return code


if __name__ == "__main__":
    sys.exit(main())

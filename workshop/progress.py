"""Progress on the screen: a bar for each running notebook, and a line for each that is finished."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm


class Progress:
    """Draws what a pipeline tells of a job's notebook.

    ("start", job, notebook, cells), ("part", job, notebook, done, total, what) while a long cell runs,
    ("cell", job, notebook) after each, ("end", job, notebook, good or not).
    """

    def __init__(self) -> None:
        self.bars: dict[tuple[str, str], Bar] = {}
        self.started: dict[tuple[str, str], float] = {}

    def __call__(self, message: tuple[Any, ...]) -> None:
        """Take one message."""
        what, job, notebook, *rest = message
        label = f"{job:>12} {notebook:<12}"
        if what == "start":
            self.started[job, notebook] = time.monotonic()
            self.bars[job, notebook] = Bar(label, rest[0])
        elif what == "part":
            self.bars[job, notebook].move_within_cell(*rest)
        elif what == "cell":
            self.bars[job, notebook].finish_cell()
        else:
            self.bars.pop((job, notebook)).close()
            seconds = time.monotonic() - self.started.pop((job, notebook))
            tqdm.write(f"{label} {'done in' if rest[0] else 'failed after'} {seconds:.1f} s", file=sys.stderr)


class Bar:
    """The bar of one notebook, in cells and parts of a cell; it never goes back."""

    def __init__(self, label: str, cells: int) -> None:
        self.cells, self.total = 0, cells
        self.bar: tqdm[Any] = tqdm(
            desc=label,
            total=cells,
            unit=f"0/{cells} cells",
            leave=False,
            disable=None,  # in a log a line for each finished notebook is enough
            bar_format="{desc} {bar} {unit} {elapsed}",
        )

    def move_within_cell(self, done: int, total: int, what: str) -> None:
        """Show that `done` of the `total` parts of the running cell are done, at present those of `what`."""
        self._show(self.cells + min(done / max(total, 1), 1), f", {what} {done}/{total}".replace("  ", " "))

    def finish_cell(self) -> None:
        """Count the running cell."""
        self.cells += 1
        self._show(self.cells, "")

    def close(self) -> None:
        """Take the bar off the screen."""
        self.bar.close()

    def _show(self, position: float, within: str) -> None:
        if not self.bar.disable:
            self.bar.unit = f"{self.cells}/{self.total} cells{within}"
            self.bar.n = max(self.bar.n, min(position, self.total))
            self.bar.refresh()

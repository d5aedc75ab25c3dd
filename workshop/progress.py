"""Progress on the screen: a bar for each running notebook, or a line for each finished one in a log."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


class Progress:
    """Draws what a pipeline tells: ("start", job, notebook, cells), ("cell", …) and ("end", …)."""

    def __init__(self) -> None:
        self.bars: dict[tuple[str, str], tqdm[Any]] = {}

    def __call__(self, message: tuple[Any, ...]) -> None:
        """Take one message."""
        what, job, notebook, *rest = message
        if what == "start":
            self.bars[job, notebook] = tqdm(
                desc=f"{job:>12} {notebook:<12}",
                total=rest[0],
                unit="cell",
                disable=not sys.stderr.isatty(),
                bar_format="{desc} {bar} {n_fmt}/{total_fmt} cells {elapsed}",
            )
        elif what == "cell":
            self.bars[job, notebook].update()
        else:
            self.bars.pop((job, notebook)).close()
            if not sys.stderr.isatty():
                print(f"{job}: {notebook} done", file=sys.stderr, flush=True)

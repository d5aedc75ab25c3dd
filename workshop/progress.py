"""Progress on the screen: a bar for each running notebook, and a line for each that is finished."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm


class Progress:
    """Draws what a pipeline tells: ("start", job, notebook, cells), ("cell", …) ("end", …, good or not)."""

    def __init__(self) -> None:
        self.bars: dict[tuple[str, str], tqdm[Any]] = {}
        self.started: dict[tuple[str, str], float] = {}

    def __call__(self, message: tuple[Any, ...]) -> None:
        """Take one message."""
        what, job, notebook, *rest = message
        label = f"{job:>12} {notebook:<12}"
        if what == "start":
            self.started[job, notebook] = time.monotonic()
            self.bars[job, notebook] = tqdm(
                desc=label,
                total=rest[0],
                unit="cell",
                leave=False,
                disable=None,  # in a log a line for each finished notebook is enough
                bar_format="{desc} {bar} {n_fmt}/{total_fmt} cells {elapsed}",
            )
        elif what == "cell":
            self.bars[job, notebook].update()
        else:
            self.bars.pop((job, notebook)).close()
            seconds = time.monotonic() - self.started.pop((job, notebook))
            tqdm.write(f"{label} {'done in' if rest[0] else 'failed after'} {seconds:.1f} s", file=sys.stderr)

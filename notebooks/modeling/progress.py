"""Progress of a long cell: a bar that moves in Jupyter and in the pipeline, one sentence in what is kept."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.display import display

MIME = "application/vnd.cellar.progress+json"
"""Under this type a display holds {"done": int, "total": int, "what": str} for whoever runs the notebook."""

INTERVAL = 0.25
"""Seconds between two updates at least."""

WIDTH = 30


class Steps:
    """Counts the `total` steps of a cell and shows how many are done; silent outside IPython.

    Use as a context: what stands there at its end, such as "60 of 60 fits", is what the executed notebook keeps.
    """

    def __init__(self, total: int, unit: str = "steps") -> None:
        self.total, self.unit, self.done = total, unit, 0
        self._handle: Any = None
        self._shown = float("-inf")

    def __enter__(self) -> Steps:
        """Show the empty bar."""
        if get_ipython() is not None:
            self._handle = display(self._bar(""), raw=True, display_id=True)  # type: ignore[no-untyped-call]
        return self

    def advance(self, what: str = "") -> None:
        """Count one more step, of what is named; the bar is drawn again if the last time is long enough ago."""
        self.done += 1
        if self._handle and time.monotonic() - self._shown >= INTERVAL:
            self._shown = time.monotonic()
            self._handle.update(self._bar(what), raw=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave one sentence in place of the bar."""
        if self._handle:
            self._handle.update({"text/plain": f"{self.done} of {self.total} {self.unit}"}, raw=True)

    def _bar(self, what: str) -> dict[str, Any]:
        filled = WIDTH * self.done // max(self.total, 1)
        text = f"[{'#' * filled}{' ' * (WIDTH - filled)}] {self.done} of {self.total} {self.unit} {what}".rstrip()
        return {"text/plain": text, MIME: {"done": self.done, "total": self.total, "what": what}}

"""papermill's engine for a warm kernel: it keeps the client that is connected and hears of the progress in a cell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import papermill
from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, papermill_engines
from papermill.iorw import write_ipynb

from modeling.progress import MIME
from workshop.kernel import Kernel


class WarmClient(PapermillNotebookClient):  # type: ignore[misc]
    """A client of a kernel that is ready; `on_part` is told of each {done, total, what} that a cell shows."""

    def __init__(self, notebook: Any, kernel: Kernel, on_part: Callable[[dict[str, Any]], None], **options: Any):
        super().__init__(notebook, km=kernel.manager, **options)
        self.kc = kernel.client  # nbclient would connect another and wait for its silence, 0.2 s each time
        self.kc.allow_stdin = False
        self.on_part = on_part

    def process_message(self, message: dict[str, Any], *where: Any) -> Any:
        """Take a message of the kernel's."""
        part = message["content"].get("data", {}).get(MIME)
        if part:
            self.on_part(part)
        return super().process_message(message, *where)


class WarmEngine(Engine):  # type: ignore[misc]
    """How papermill executes in a warm kernel."""

    @classmethod
    def execute_managed_notebook(
        cls, notebook: Any, kernel_name: str, *, kernel: Kernel, on_part: Any, on_cell: Any, keep: str, **_: Any
    ) -> None:
        """Execute every cell; where the kernel dies, keep what there is."""
        client = WarmClient(notebook, kernel, on_part, kernel_name=kernel_name, on_cell_executed=on_cell)
        try:
            client.execute()
        except DeadKernelError:
            write_ipynb(notebook.nb, keep)
            raise


papermill_engines.register("warm", WarmEngine)


def execute(
    notebook: Path, output: Path, given: dict[str, Any], kernel: Kernel, *, on_cell: Callable[..., None], on_part: Any
) -> Any:
    """Execute a notebook with parameters and write it to `output`, which is saved once; return the document."""
    keep = str(output)
    return papermill.execute_notebook(
        notebook,
        keep.replace("{", "{{").replace("}", "}}"),  # papermill formats its paths
        given,
        engine_name="warm",
        cwd=notebook.parent,
        progress_bar=False,
        request_save_on_cell_execute=False,  # twice a cell it would write all pictures so far
        autosave_cell_every=0,
        kernel=kernel,
        on_cell=on_cell,
        on_part=on_part,
        keep=keep,
    )

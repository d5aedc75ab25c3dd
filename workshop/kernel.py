"""A warm kernel: started once for all notebooks of a table, and importing before the first of them begins."""

from __future__ import annotations

import ast
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""What a kernel, and the processes it starts, compute with: the order of summation must not depend on the machine."""


class Kernel:
    """A running kernel and the one client that all notebooks use; `pending` is what it was asked to do last."""

    def __init__(self, manager: Any) -> None:
        self.manager = manager
        self.client = manager.client()
        self.client.start_channels()
        self.pending = ""

    def ask(self, code: str) -> None:
        """Have the kernel execute `code` while we go on."""
        self.pending = self.client.execute(code, silent=True)

    def wait(self) -> None:
        """Wait until the kernel has done what it was asked and its messages arrive; DeadKernelError if it died."""
        from jupyter_core.utils import run_sync
        from nbclient.exceptions import DeadKernelError

        replied = False
        while not replied:
            try:
                reply = run_sync(self.client.get_shell_msg)(timeout=1)
                replied = reply["parent_header"].get("msg_id") == self.pending
            except Empty:
                if not self.manager.is_alive():
                    raise DeadKernelError("Kernel died") from None
        try:
            while not self._is_last(run_sync(self.client.get_iopub_msg)(timeout=1)):
                pass
        except Empty:  # it was done before its messages had a way to us
            run_sync(self.client.wait_for_ready)(timeout=60)

    def forget(self) -> None:
        """Empty the namespace and the history; what was imported stays imported."""
        self.ask("get_ipython().reset(new_session=True)")
        self.wait()

    def _is_last(self, message: dict[str, Any]) -> bool:
        idle = message["content"].get("execution_state") == "idle"
        return bool(idle and message["parent_header"].get("msg_id") == self.pending)


@contextmanager
def started(notebooks: Sequence[Path]) -> Iterator[Kernel]:
    """Start a kernel that imports at once what the notebooks import, and end it afterwards."""
    from jupyter_client.manager import KernelManager

    with tempfile.TemporaryDirectory(prefix="cellar-") as runtime:
        manager = KernelManager(
            kernel_name="python3",
            # Sockets in a folder of our own: two kernels that start at once can pick the same port.
            transport="ipc",
            connection_file=f"{runtime}/kernel.json",
            client_class="jupyter_client.asynchronous.AsyncKernelClient",
        )
        # nbclient asks for its own interpreter's kernel; a `python3` of somebody's home folder must not take its place.
        assert manager.kernel_spec
        manager.kernel_spec.argv[0] = sys.executable
        manager.start_kernel(env={**os.environ, **ONE_THREAD})
        try:
            kernel = Kernel(manager)
            kernel.ask(imports(notebooks))
            try:
                yield kernel
            finally:
                kernel.client.stop_channels()
        finally:
            manager.shutdown_kernel(now=True)


def imports(notebooks: Sequence[Path]) -> str:
    """Return the import statements of notebooks as code."""
    found: dict[str, None] = {}
    for notebook in notebooks:
        for node in ast.walk(ast.parse(source(notebook))):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                found[ast.unparse(node)] = None
    return "\n".join(found)


def source(notebook: Path) -> str:
    """Return the code of a notebook's cells, one after the other."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")

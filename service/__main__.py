"""`python -m service`: the application on a server of several processes."""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a process with threads is not one to fork, and none is used

from gunicorn.app.base import BaseApplication

from service import config
from service.app import create_app
from service.errors import CellarError
from service.server.arbiter import Arbiter
from service.server.worker import Worker, fork_without_losing_signals
from service.web.figures import FOLDER

HUNG = 30
"""Seconds without a sign of an event loop after which its worker is replaced: a busy machine may keep it for some."""
SPARE = 10
"""Seconds beyond CELLAR_DEADLINE in which a worker that was told to end has to be done."""


class Server(BaseApplication):  # type: ignore[misc]
    """Gunicorn with our own kind of worker."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        super().__init__()

    def load_config(self) -> None:
        """Set what differs from gunicorn's own settings."""
        host = f"[{self.options.host}]" if ":" in self.options.host else self.options.host
        settings = {
            "bind": f"{host}:{self.options.port}",
            "workers": self.options.workers,
            "worker_class": Worker,
            "loglevel": "warning",
            "timeout": HUNG,
            "graceful_timeout": int(config.read().deadline) + SPARE,
            "control_socket_disable": True,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def run(self) -> None:
        """Run the parent of the workers."""
        Arbiter(self).run()

    def load(self) -> Any:
        """Return the application, in a worker."""
        app = create_app(served=True).wsgi_app
        gc.collect()
        gc.freeze()  # what lives as long as the process need not be looked at again and again
        return app


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m service", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    try:
        config.read()
    except CellarError as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory(prefix="cellar-metrics-") as folder:
        os.environ.setdefault(FOLDER, folder)
        gc.collect()
        gc.freeze()
        fork_without_losing_signals()
        Server(options).run()


if __name__ == "__main__":
    main()

"""The limit of Cellar's own server: `bare_buffer` on it instead of the application."""

import argparse
import sys
from types import SimpleNamespace

import bare_buffer

from service.__main__ import Server
from service.config import Config


class Quick:
    """A WSGI application that is always answered in the event loop."""

    config = Config()
    metrics = SimpleNamespace(write=lambda: None)
    is_quick = staticmethod(lambda environ: True)
    __call__ = staticmethod(bare_buffer.app)


class Bare(Server):
    """The server with another application."""

    def load(self):
        """Return the application."""
        return Quick()


Bare(argparse.Namespace(host="127.0.0.1", port=int(sys.argv[1]), workers=2)).run()

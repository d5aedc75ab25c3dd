"""The other programs of the house: tests, checks of style, measurements and experiments, each run from its root."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

from service.config import ROOT
from service.errors import DataError, meant
from workshop.menu import CALLED


def run(module: str, *words: str) -> None:
    """Run a module of Python, and end with its exit code unless it went well."""
    code = subprocess.call([sys.executable, "-m", module, *words], cwd=ROOT)
    if code:
        sys.exit(code)


def become(module: str, words: str) -> None:
    """Go on as a module of Python: Ctrl-C then reaches it alone, and it can end what it started."""
    os.chdir(ROOT)
    os.environ[CALLED] = sys.argv[0]
    os.execv(sys.executable, [sys.executable, "-m", module, *shlex.split(words)])


def measurement(name: str) -> str:
    """Return the module that measures something, or raise DataError with those that there are."""
    folders = (path.parent for path in (ROOT / "bench").glob("*/__main__.py"))
    known = sorted(path.stem for path in [*(ROOT / "bench").glob("*.py"), *folders])
    if name not in known:
        near = meant(name, known, f"bench/ has {', '.join(known)}")
        raise DataError(f"nothing measures {name[:40]!r}; {near}")
    return f"bench.{name}"

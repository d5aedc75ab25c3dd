"""What some tests need from outside: a program of the machine, or the clients of other projects."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from service.files import file_sha256, locked
from workshop.installers import find_pip, mirror, run
from workshop.locking import CLIENTS
from workshop.pins import ROOT, EnvironmentSetupError


def outside(program: str) -> str:
    """Return the path of a program; where there is none the test is skipped, but fails where `CI` is set."""
    return shutil.which(program) or lacking(f"{program} is not installed: apt-get install {program}")


def clients(folder: Path = ROOT / ".venv-clients", lock: Path = ROOT / CLIENTS[1]) -> Path:
    """Return the Python of the clients' environment, which is made from its lock unless that was done before."""
    python, stamp = folder / "bin" / "python", folder / "cellar.stamp"
    wanted = f"{file_sha256(lock)} {sys.version} {folder}"
    with locked(lock.parent):  # two test processes ask at once
        if not stamp.is_file() or stamp.read_text() != wanted:
            try:
                install(folder, python, lock)
            except EnvironmentSetupError as error:
                lacking(
                    f"the clients of {lock.parent.name}/{lock.name} cannot be installed, check the network: {error}"
                )
            stamp.write_text(wanted)
    return python


def install(folder: Path, python: Path, lock: Path) -> None:
    """Make an environment of exactly the packages of a lock."""
    uv = [sys.executable, "-m", "uv"]
    run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)])
    packages = [*uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(lock)]
    run(packages, **mirror(find_pip() or []))


def lacking(why: str) -> NoReturn:
    """Skip the test and say why, or fail where `CI` is set."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)

"""The environment that every command runs in: made from requirements.lock once, entered at once after that."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workshop.installers import PYTHON, VENV, install, without
from workshop.pins import ROOT, EnvironmentSetupError, read_lock, unmet_pins

OLD = ROOT / ".venv.old"
OLDEST = (3, 11)
SLOW = "pandas, sklearn.ensemble, matplotlib.pyplot, skl2onnx, papermill, nbconvert, onnxruntime, flask"


def enter() -> None:
    """Return inside a ready environment, or make it and run the same command again in it."""
    try:
        refuse_old_python()
        if not (settled_in_conda() or (running_in(VENV) and ready(VENV))):
            if not ready(VENV):
                make()
            go_on()
    except EnvironmentSetupError as error:
        sys.exit(f"cellar: {error}")
    except OSError as error:
        sys.exit(f"cellar: the environment cannot be made: {error}; make that path writable, or room on its disk")
    except KeyboardInterrupt:
        print("cellar: stopped; nothing half-made is left", file=sys.stderr)
        sys.exit(130)


def refuse_old_python() -> None:
    """Raise if this Python cannot run the project."""
    if sys.version_info < OLDEST:
        ours = "{}.{}".format(*sys.version_info)
        raise EnvironmentSetupError(
            f"Python 3.11 or newer is needed, but {sys.executable} is {ours}; start it with a newer one"
        )


def ready(prefix: Path) -> bool:
    """Say whether the environment in this folder was made here from today's requirements.lock."""
    try:
        stamp = (prefix / "cellar.stamp").read_text()
        return (prefix / "bin" / "python").exists() and stamp == fingerprint(prefix)
    except (FileNotFoundError, NotADirectoryError):
        return False


def fingerprint(prefix: Path) -> str:
    """Name in one sha256 what an environment rests on: the lock, its Python and the place of this folder."""
    # the place, because the scripts in bin/ and cellar.pth hold absolute paths that a moved clone breaks
    rest = f"\n{python_version(prefix)}\n".encode() + os.fsencode(ROOT)
    return hashlib.sha256(read_lock().encode() + rest).hexdigest()


def python_version(prefix: Path) -> str:
    """Read which Python, such as 3.12, an environment holds."""
    if running_in(prefix):
        return "{}.{}".format(*sys.version_info)
    found = re.search(r"^version\s*=\s*(\d+\.\d+)", (prefix / "pyvenv.cfg").read_text(), re.M)
    return found.group(1) if found else "unknown"


def running_in(prefix: Path) -> bool:
    """Say whether this very interpreter belongs to the environment in this folder."""
    return os.path.realpath(sys.prefix) == os.path.realpath(prefix)


def go_on() -> None:
    """Become the same command in .venv."""
    environ = without("PYTHONHOME", "__PYVENV_LAUNCHER__")  # either would lead .venv's Python astray
    environ["VIRTUAL_ENV"] = str(VENV)
    environ["PATH"] = f"{VENV / 'bin'}{os.pathsep}{environ.get('PATH', os.defpath)}"
    sys.stdout.flush()
    os.execve(PYTHON, [str(PYTHON), *sys.argv], environ)


def make() -> None:
    """Make .venv, or leave everything as it was."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that being told to stop tidies up, too
    with alone():
        if not ready(VENV):
            set_aside()
            try:
                build()
            except BaseException:
                put_back()
                raise
            remove(OLD)


@contextmanager
def alone() -> Iterator[None]:
    """Keep other processes from making the environment meanwhile."""
    with open(ROOT / ".venv.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is making the environment, waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def set_aside() -> None:
    """Move an outdated .venv aside; one without a stamp is what a killed process left, and goes."""
    if (VENV / "cellar.stamp").exists():
        remove(OLD)
        VENV.rename(OLD)
    remove(VENV)


def put_back() -> None:
    """Remove what was half-made and bring the outdated .venv back."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    remove(VENV)
    if OLD.exists():
        OLD.rename(VENV)


def remove(folder: Path) -> None:
    """Remove a folder, or only the link where it is one."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def build() -> None:
    """Make .venv and fill it; the stamp comes last."""
    import venv  # which imports logging, too slow for every start

    start = time.monotonic()
    say("Making .venv from requirements.lock (about 1 GB, once) ...")
    venv.create(VENV, symlinks=True, with_pip=False)
    install()
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        write_bytecode()
    settle(VENV)
    say(f"... done in {time.monotonic() - start:.1f} s")


def settle(prefix: Path) -> None:
    """Make our packages importable in an environment, as an editable install would, and stamp it."""
    folder = prefix / "lib" / f"python{python_version(prefix)}" / "site-packages"
    (folder / "cellar.pth").write_text(f"{ROOT}\n{ROOT / 'notebooks'}\n", encoding="utf-8")
    (prefix / "cellar.stamp").write_text(fingerprint(prefix))


def write_bytecode() -> None:
    """Start once, with bytecode, what is slow to start."""
    # where the machine lets nobody write bytecode, every command would pay 3 s again
    environ = without("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "__PYVENV_LAUNCHER__")
    subprocess.run([PYTHON, "-c", f"import {SLOW}"], check=False, env=environ, cwd=ROOT, capture_output=True)


def say(line: str) -> None:
    """Tell the person in front of the terminal."""
    print(line, file=sys.stderr, flush=True)


def settled_in_conda() -> bool:
    """Say whether this is a conda environment made from environment.yml, and settle there the first time."""
    if os.environ.get("CONDA_PREFIX") != sys.prefix:
        return False
    prefix = Path(sys.prefix)
    if ready(prefix):
        return True
    unmet = next(unmet_pins(read_lock()), None)
    if not unmet:
        settle(prefix)
        sys.path += [str(ROOT), str(ROOT / "notebooks")]  # what cellar.pth does from the next start on
    elif os.environ.get("CONDA_DEFAULT_ENV") == "cellar":
        cure = "bring it up to date with `conda env update -f environment.yml`"
        raise EnvironmentSetupError(f"the conda environment cellar lacks {unmet} of requirements.lock; {cure}")
    return not unmet

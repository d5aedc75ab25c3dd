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

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
VENV = ROOT / ".venv"
OLD = ROOT / ".venv.old"
PYTHON = VENV / "bin" / "python"
STARTER = getattr(sys, "_base_executable", sys.executable)  # outlives a .venv that moves aside under us
OLDEST = (3, 11)
SLOW = "pandas, sklearn.ensemble, matplotlib.pyplot, skl2onnx, papermill, nbconvert, onnxruntime, flask"


class EnvironmentSetupError(Exception):
    """Raised if the environment cannot be made or used; the message is one sentence with the cure."""


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


def read_lock() -> str:
    """Read requirements.lock."""
    try:
        return LOCK.read_text(encoding="utf-8")
    except FileNotFoundError:
        cure = "bring it back with `git checkout requirements.lock`"
        raise EnvironmentSetupError(f"requirements.lock is missing in {ROOT}; {cure}") from None


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


def without(*names: str) -> dict[str, str]:
    """Copy the environment variables, except these."""
    return {name: value for name, value in os.environ.items() if name not in names}


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


def install() -> None:
    """Install requirements.lock the first way that works."""
    failures = []
    for tool, command, defaults in installers():
        try:
            run([*command, "--require-hashes", "-r", str(LOCK)], **defaults)
            return
        except EnvironmentSetupError as error:
            failures.append(f"{tool}: {error}")
    cure = "check the network, or the mirror that pip is configured for, and run this again"
    if not failures:
        failures = ["there is no uv, pip or ensurepip"]
        cure = "install your system's python3-venv or python3-pip package, or uv"
    raise EnvironmentSetupError(f"requirements.lock cannot be installed ({'; '.join(failures)}); {cure}")


def installers() -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Name the ways to install: uv from PATH, uv brought by pip, and pip, the slow one that is everywhere."""
    # uv's --compile-bytecode takes 8 s; without it the first start of what a prediction needs takes 4 s more
    by_uv = ["pip", "install", "--python", str(PYTHON)]
    uv = uv_on_path()
    if uv:
        yield "uv", [uv, *by_uv], mirror([])
    pip = find_pip()
    if pip and not uv and bring_uv(pip):
        yield "uv", [str(VENV / "bin" / "uv"), *by_uv], mirror(pip)
    if pip:
        yield "pip", [*pip, "--python", str(PYTHON), "install", "--no-compile"], {}


def uv_on_path() -> str | None:
    """Find a uv of the version that requirements.lock pins."""
    uv, pin = shutil.which("uv"), re.match(r"uv==(\S+)", uv_block(read_lock()))
    found = uv and pin and (attempt([uv, "--version"]) or "").split()[1:2] == [pin.group(1)]
    return uv if found else None


def uv_block(lock: str) -> str:
    """Cut uv's own pin and hashes out of requirements.lock, or nothing where it pins no uv."""
    found = re.search(r"^uv==.*(?:(?<=\\)\n.*)*", lock, re.M)
    return found.group() + "\n" if found else ""


def find_pip() -> list[str]:
    """Find a pip: this Python's, the one that ensurepip carries, or one on PATH."""
    if attempt([STARTER, "-c", "import pip"]) is not None:
        return [STARTER, "-m", "pip"]
    if attempt([str(PYTHON), "-m", "ensurepip"]) is not None:
        return [str(PYTHON), "-m", "pip"]
    return [command for command in [shutil.which("pip3") or shutil.which("pip")] if command]


def bring_uv(pip: list[str]) -> bool:
    """Install the pinned uv, and nothing else, into .venv by pip."""
    pin = VENV / "uv.txt"
    pin.write_text(uv_block(read_lock()))
    # building uv from source would cost more than it saves; pip shows its full patience as the last way
    quick = ["--only-binary=:all:", "--no-compile", "--retries=2", "--no-deps", "--require-hashes"]
    attempt([*pip, "--python", str(PYTHON), "install", *quick, "-r", str(pin)])
    pin.unlink()
    return (VENV / "bin" / "uv").exists()


def mirror(pip: list[str]) -> dict[str, str]:
    """Tell uv, which reads none of pip's settings, the index that pip is configured for."""
    index = os.environ.get("PIP_INDEX_URL") or (pip and attempt([*pip, "config", "get", "global.index-url"]))
    return {"UV_DEFAULT_INDEX": index.strip()} if index else {}


def run(command: list[str], **defaults: str) -> str:
    """Run a tool and return what it prints, or raise with its reason."""
    own = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environ = {**defaults, **without("PYTHONHOME", "__PYVENV_LAUNCHER__"), **own}
    try:
        done = subprocess.run(command, env=environ, cwd=ROOT, check=True, capture_output=True)
        return done.stdout.decode(errors="replace")
    except OSError as error:
        raise EnvironmentSetupError(f"{command[0]} does not run: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        raise EnvironmentSetupError(reason(error.stderr.decode(errors="replace"))) from error


def attempt(command: list[str]) -> str | None:
    """Return what a tool prints, or nothing where it fails."""
    try:
        return run(command)
    except EnvironmentSetupError:
        return None


def reason(stderr: str) -> str:
    """Find the line in which uv or pip says what went wrong, its last error or the last line."""
    lines = re.findall(r"^\W*(?:error|cause): (.+)", stderr, re.M | re.I) or re.findall(r"\w.*", stderr)
    line = lines[-1].strip() if lines else "it gave no reason"
    return line if len(line) <= 160 else line[:157] + "..."


def write_bytecode() -> None:
    """Start once, with bytecode, what is slow to start."""
    # where the machine lets nobody write bytecode, every command would pay 3 s again
    environ = without("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "__PYVENV_LAUNCHER__")
    subprocess.run([PYTHON, "-c", f"import {SLOW}"], env=environ, cwd=ROOT, check=False, capture_output=True)


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


def unmet_pins(lock: str) -> Iterator[str]:
    """Walk over the pins of requirements.lock that apply here and are not installed."""
    from importlib.metadata import PackageNotFoundError, version

    for name, pin, marker in re.findall(r"^([\w.-]+)==(\S+)(?: ; (.+?))?(?: \\)?$", lock, re.M):
        try:
            met = version(name) == pin
        except PackageNotFoundError:
            met = False
        if not met and applies(marker):
            yield f"{name}=={pin}"


def applies(marker: str) -> bool:
    """Evaluate a marker such as sys_platform == 'darwin'."""
    if not marker:
        return True
    try:
        from packaging.markers import Marker
    except ImportError:
        return False  # the lock pins packaging without a marker, so that its absence is noticed all the same
    return Marker(marker).evaluate()

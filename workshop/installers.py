"""Installing requirements.lock into .venv: through uv, which pip brings, or through pip."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

from workshop.pins import LOCK, ROOT, EnvironmentSetupError, read_lock, uv_block

VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STARTER = getattr(sys, "_base_executable", sys.executable)  # outlives a .venv that moves aside under us


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


def without(*names: str) -> dict[str, str]:
    """Copy the environment variables, except these."""
    return {name: value for name, value in os.environ.items() if name not in names}

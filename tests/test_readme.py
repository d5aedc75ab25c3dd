"""The README's command blocks, run in their order as a newcomer would paste them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from workshop.server import free_port

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
SERVE = "python3 tasks.py serve"
UNRUN = ("python3 tasks.py test",)  # this very run

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def port() -> int:
    """A port that is free now."""
    return free_port()


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory, port: int) -> dict[str, str]:
    """The environment of a newcomer: its own folders for what is made, and a table of houses."""
    folder = tmp_path_factory.mktemp("newcomer")
    made = {"CELLAR_ARTIFACTS": folder / "artifacts", "CELLAR_REPORTS": folder / "reports"}
    return {
        **os.environ,
        **{name: str(path) for name, path in made.items()},
        "CELLAR_URL": f"http://127.0.0.1:{port}",
        "FOLDER": str(folder),
    }


@pytest.fixture(scope="module")
def service(environ: dict[str, str], port: int):
    """The first command of the README, on a port that is free, until everything is run."""
    server = subprocess.Popen(
        f"exec {SERVE} --port {port}", shell=True, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while server.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5).close()
            break
        except OSError:
            time.sleep(0.2)
    yield server
    server.send_signal(signal.SIGTERM)
    server.communicate(timeout=30)


def as_pasted(block: str, port: int, folder: Path) -> str:
    """Return a block as it is, but for the port and for files that it would leave in the house."""
    block = block.replace("127.0.0.1:5000", f"127.0.0.1:{port}").replace("path/to/houses.csv", f"{folder}/houses.csv")
    block = re.sub(r"(?<= )(0[123]\.ipynb|predictions\.csv)", rf"{folder}/\1", block)
    return f'set -e; PATH="{ROOT}/.venv/bin:$PATH"\n{block}' if "papermill" in block else f"set -e\n{block}"


def test_the_readme_begins_with_serve():
    """The first command that a newcomer meets is the one that serves."""
    assert BLOCKS[0].strip() == SERVE


@pytest.mark.parametrize("block", BLOCKS[1:], ids=lambda block: " ".join(block.split()[:3]))
def test_block_works_as_pasted(block: str, service: subprocess.Popen[str], environ: dict[str, str], port: int):
    """Every command block of the README ends with exit code 0 and says what the README shows."""
    if block.strip() in UNRUN:
        assert (ROOT / ".ci" / "run").read_text().rstrip().endswith(block.strip())
        return
    folder = Path(environ["FOLDER"])
    houses = (f"{50 + n * n % 97},{n % 7},{3000 + 9 * (n * n % 97) + n % 5}\n" for n in range(120))
    (folder / "houses.csv").write_text("area,garden,price\n" + "".join(houses))
    words = ["bash", "-c", as_pasted(block, port, folder)]
    done = subprocess.run(words, check=False, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    if "curl" in block:
        shown = {"high": '"status":422', "/explain": '"contributions":{"age":', "text/csv": "prediction\n0\n0\n"}
        assert next((text for word, text in shown.items() if word in block), '"prediction":0') in done.stdout
    if "request.py" in block:
        assert done.stdout.strip() in (ROOT / "README.md").read_text()


def test_the_example_without_a_service_is_told():
    """Where nothing answers, examples/request.py ends in one sentence that says how to start the service."""
    done = subprocess.run(
        [sys.executable, "examples/request.py"],
        check=False,
        cwd=ROOT,
        env={**os.environ, "CELLAR_URL": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "no service answers at http://127.0.0.1:9: start it with `python3 tasks.py serve`\n"

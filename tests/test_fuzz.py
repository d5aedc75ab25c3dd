"""schemathesis against the real server: `inv fuzz` runs it for long, the tests for a moment."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest

from chaos.serving import Served, serving

pytestmark = [pytest.mark.clients, pytest.mark.slow]

SHORT = 100
"""Up to so many examples are the same in every run: a test that fails now and then tells little."""

CONFIG = Path(__file__).parent / "clients" / "schemathesis.toml"
HOOKS = CONFIG.with_name("schemathesis_tables.py")
TOKEN = "a-token-of-the-tests"


def fuzz(python: Path, server: Served, folder: Path, examples: int, *options: str) -> str:
    """Run every check of schemathesis and return what it says; fail where it finds something."""
    address = f"{server.address}/openapi.json"
    steady = "--generation-deterministic" if examples <= SHORT else "--generation-database=none"
    words = [f"--max-examples={examples}", "--continue-on-failure", steady, *options]
    found = subprocess.run(
        [str(python.parent / "schemathesis"), f"--config-file={CONFIG}", "run", address, *words],
        check=False,
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(HOOKS)},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def counts(told: str) -> tuple[int, int]:
    """Return how many operations were tested, and how many requests passed."""
    tested, passed = re.search(r"Tested: (\d+)", told), re.search(r"generated, (\d+) passed", told)
    assert tested and passed, told
    return int(tested[1]), int(passed[1])


@pytest.fixture
def artifacts(every_model: Path, tmp_path: Path) -> Path:
    """Every model, in a folder whose champions may change."""
    return shutil.copytree(every_model, tmp_path / "artifacts")


def test_schemathesis_finds_nothing(
    clients_python: Path, artifacts: Path, every_model: Path, tmp_path: Path, request: pytest.FixtureRequest, capsys
):
    """Whatever the document allows is taken, whatever else is refused, and every answer is as it says."""
    examples = request.config.getoption("--examples")
    with serving(artifacts, every_model.parent / "reports") as server:
        told = fuzz(clients_python, server, tmp_path, examples)
    with capsys.disabled():
        print(told if examples > SHORT else "", end="")
    operations, passed = counts(told)
    assert operations > 40 and passed > 10 * operations
    assert "Missing test data" not in told


@pytest.mark.parametrize("setting", ["read_token", "token"])
def test_schemathesis_finds_no_way_around_the_token(
    clients_python: Path, artifacts: Path, every_model: Path, tmp_path: Path, setting: str
):
    """Where a token is asked for, what needs it refuses a request without it and with a wrong one."""
    reports = every_model.parent / "reports"
    with serving(artifacts, reports, **{setting: TOKEN}) as server:
        told = fuzz(clients_python, server, tmp_path, 5, f"--header=Authorization: Bearer {TOKEN}")
    assert counts(told)[0] > 40


def test_the_document_is_valid(clients_python: Path, every_server: Served, tmp_path: Path):
    """OpenAPI's own schema has nothing to say against it."""
    with urllib.request.urlopen(f"{every_server.address}/openapi.json", timeout=10) as reply:
        document = json.load(reply)
    assert document["openapi"].startswith("3.1.")
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(document))
    done = subprocess.run(
        [str(clients_python), "-m", "openapi_spec_validator", str(path)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr

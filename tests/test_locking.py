from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from workshop import locking

ROOT = Path(__file__).parents[1]
LOCKS = [lock for _, lock in locking.PAIRS]


def pins(lock: str) -> dict[str, str]:
    """Return {name and marker: whole entry} of a lock."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", text.strip())
    return {entry.split(" \\")[0]: entry for entry in entries if not entry.startswith("#")}


def names(source: str) -> set[str]:
    """Return the packages that a requirements.in asks for."""
    lines = (ROOT / source).read_text(encoding="utf-8").splitlines()
    return {re.match(r"[\w-]+", line)[0].lower() for line in lines if line and line[0] not in "#-"}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address(lock):
    """Whoever installs takes the index that their machine is configured for."""
    assert "://" not in (ROOT / lock).read_text(encoding="utf-8")


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes(lock):
    """Each package is pinned to one version and at least one file by sha256."""
    assert pins(lock)
    for name, entry in pins(lock).items():
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*==[\w.+-]+( ; .+)?", name), name
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), name


def test_the_service_runs_what_the_workshop_tested():
    """The service's lock is a part of the workshop's: the same versions and files, on as many machines at least."""
    workshop, service = (pins(lock) for lock in LOCKS[:2])
    for name, entry in service.items():
        pin, _, _ = name.partition(" ; ")
        here = name if name in workshop else pin
        assert re.findall("sha256:.*", workshop[here]) == re.findall("sha256:.*", entry)


@pytest.mark.parametrize(("source", "lock"), locking.PAIRS)
def test_a_lock_holds_what_was_chosen(source, lock):
    """Everything that was chosen by hand is pinned."""
    pinned = {re.match(r"[\w.-]+?(?===)", name)[0] for name in pins(lock)}
    assert names(source) <= pinned


def test_the_service_stays_thin():
    """Nothing of the workshop gets into the service's run-time."""
    pinned = {name.split("==")[0] for name in pins(LOCKS[1])}
    assert not pinned & {
        "scikit-learn",
        "pandas",
        "matplotlib",
        "papermill",
        "jupyter",
        "nbconvert",
        "skl2onnx",
        "scipy",
    }


def test_the_locks_serve_every_python_that_is_allowed():
    """They are made for the oldest Python of pyproject.toml and all that follow."""
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    assert f"--python-version {oldest}" in Path(locking.__file__).read_text()

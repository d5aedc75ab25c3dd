"""What requirements.lock pins, read without anything that it pins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"


class EnvironmentSetupError(Exception):
    """Raised if the environment cannot be made or used; the message is one sentence with the cure."""


def read_lock() -> str:
    """Read requirements.lock."""
    try:
        return LOCK.read_text(encoding="utf-8")
    except FileNotFoundError:
        cure = "bring it back with `git checkout requirements.lock`"
        raise EnvironmentSetupError(f"requirements.lock is missing in {ROOT}; {cure}") from None


def uv_block(lock: str) -> str:
    """Cut uv's own pin and hashes out of requirements.lock, or nothing where it pins no uv."""
    found = re.search(r"^uv==.*(?:(?<=\\)\n.*)*", lock, re.M)
    return found.group() + "\n" if found else ""


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

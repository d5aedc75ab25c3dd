"""What some tests need from outside Python: a program of the machine."""

from __future__ import annotations

import os
import shutil

import pytest


def outside(program: str) -> str:
    """Return the path of a program; where there is none the test is skipped, but fails where `CI` is set."""
    found = shutil.which(program)
    if found:
        return found
    why = f"{program} is not installed: apt-get install {program}"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)

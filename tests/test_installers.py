from __future__ import annotations

import pytest

from workshop.installers import reason


@pytest.mark.parametrize(
    ("stderr", "found"),
    [
        ("error: Request failed\n  cause: tunnel\n  cause: refused\n\nhint: try again\n", "refused"),
        ("ERROR: none of them\nERROR: No match\n[notice] new pip\n", "No match"),
        ("  Failed\n  ╰─▶ refused\n", "refused"),
        ("", "it gave no reason"),
        ("x" * 999, "x" * 157 + "..."),
    ],
)
def test_reason_is_the_last_error_line(stderr: str, found: str):
    """Of what a tool prints, its last error is told, shortened."""
    assert reason(stderr) == found

from __future__ import annotations

from pathlib import Path

import pytest

from chaos import files


@pytest.mark.slow
def test_spoilt_files_fail_no_prediction(tmp_path: Path):
    """What is served is served on when its files are spoilt, and a restart serves the version before and says so."""
    outcome = files.spoil(tmp_path, 0.1)
    assert outcome.broken == []
    assert outcome.disturbed.startswith(("2 times", "3 times"))


@pytest.mark.slow
def test_a_service_that_keeps_the_spoilt_version_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where nothing is spoilt, the restart serves the same version, which is told as a fault."""
    monkeypatch.setattr(files, "DEEDS", (lambda path: None,))
    outcome = files.spoil(tmp_path, 0.2)
    assert [told.split(": ", 1)[1][:30] for told in outcome.broken] == [
        "after the restart it says {'re",
        "after the restart 1 requests w",
    ]

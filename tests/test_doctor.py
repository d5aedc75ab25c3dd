from __future__ import annotations

import pytest

from workshop import doctor


@pytest.fixture
def house(tmp_path, monkeypatch, artifacts):
    """A house of our own that is as it should be."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "t.csv").touch()
    for name in ("data", "artifacts", "reports"):
        monkeypatch.setenv(f"CELLAR_{name.upper()}", str(tmp_path / name))
    return tmp_path


def test_a_sound_house_passes(house):
    """Python, tables, folders, space and bundles are each a line, and each is good."""
    found = [(good, what) for good, what in doctor.examine() if not what.startswith("environment")]
    assert all(good for good, _ in found), found
    told = "\n".join(what for _, what in found)
    for part in ("Python 3.", f"tables in {house / 'data'}", "reports can be written", "GiB free", "wine version 1"):
        assert part in told


def test_what_is_wrong_is_told(house):
    """A house without tables and with a damaged bundle has these lines bad: the version is the champion."""
    (house / "data" / "t.csv").unlink()
    (house / "artifacts" / "wine" / "1" / "golden.json").write_text("{}")
    bad = [what for good, what in doctor.examine() if not good and not what.startswith("environment")]
    assert len(bad) == 3
    assert (
        bad[0].startswith(f"no tables in {house / 'data'}: inv data writes the samples")
        and "golden.json is damaged" in bad[1]
    )


def test_a_file_in_place_of_the_folder_is_told(house, monkeypatch):
    """Where nothing can be written, and why, is said as it is."""
    (house / "taken").touch()
    monkeypatch.setenv("CELLAR_REPORTS", str(house / "taken" / "reports"))
    told = f"{house}/taken/reports cannot be written: {house}/taken is no folder"
    assert (False, told) in doctor.examine()

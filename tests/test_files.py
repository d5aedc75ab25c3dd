from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from service import files

ROOT = Path(__file__).parents[1]


def test_a_folder_is_locked_for_one(tmp_path):
    """A second process that asks for the same folder's lock waits until the first has done its work."""
    code = (
        "import sys; from pathlib import Path; from service import files\n"
        "with files.locked(Path(sys.argv[1])): print('mine', flush=True)"
    )
    with files.locked(tmp_path):
        other = subprocess.Popen([sys.executable, "-c", code, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=1)
    assert other.communicate(timeout=30)[0] == "mine\n"


def test_a_file_is_named_by_its_content(tmp_path):
    """The hash of a file is that of its bytes, read in parts."""
    data = b"wine" * 300_000
    (tmp_path / "big").write_bytes(data)
    assert files.file_sha256(tmp_path / "big") == files.sha256(data)


def test_folders_are_made_once(tmp_path):
    """A folder is made with those above it, and one that is there is left alone."""
    for _ in range(2):
        files.make_folder(tmp_path / "a" / "b")
        (tmp_path / "a" / "b" / "kept").touch()
    assert (tmp_path / "a" / "b" / "kept").exists()


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    """A folder is written under another name first; where its place is taken, nothing is left beside."""
    files.write_folder(tmp_path / "1", {"a": b"x"})
    with pytest.raises(OSError, match="not empty"):
        files.write_folder(tmp_path / "1", {"a": b"y"})
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    assert (tmp_path / "1" / "a").read_bytes() == b"x"

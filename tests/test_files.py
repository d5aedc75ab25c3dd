from __future__ import annotations

import subprocess
import sys
import time
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


def test_a_lock_is_waited_for_until_a_time(tmp_path):
    """Where somebody keeps it that long, or it is later already, it is not had."""
    soon = time.monotonic() + 0.05
    with files.locked(tmp_path, soon + 30), pytest.raises(BlockingIOError), files.locked(tmp_path, soon):
        pass
    with pytest.raises(BlockingIOError), files.locked(tmp_path, time.monotonic()):
        pass


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


def test_a_replaced_file_is_whole_and_alone(tmp_path):
    """Replacing a file leaves the new content and nothing beside it."""
    path = tmp_path / "champion"
    for text in (b"1\n", b"2\n"):
        files.replace_file(path, text)
        assert path.read_bytes() == text
    assert list(tmp_path.iterdir()) == [path]


def test_a_replacement_that_fails_keeps_the_old(tmp_path):
    """Where a file cannot be replaced, or not be written, what stands there stays and nothing is left beside it."""
    (tmp_path / "champion").mkdir()
    with pytest.raises(OSError, match="champion"):
        files.replace_file(tmp_path / "champion", b"1\n")
    with pytest.raises(ZeroDivisionError), files.replacing(tmp_path / "table.csv") as written:
        written.write_text(str(1 / 0))
    assert [path.name for path in tmp_path.iterdir()] == ["champion"]


def test_what_is_being_written_is_half_written(tmp_path):
    """What stands under the names that writers use is found, in a folder and one below, and the next one removes it."""
    inside = tmp_path / "1"
    inside.mkdir()
    (inside / ".kept-1").touch()
    with files.replacing(inside / "a") as file, files.staged(tmp_path / "2") as folder:
        file.touch()
        (folder / ".a-1-0123abcd").touch()
        assert files.half_written(tmp_path) == sorted([file, folder])
        with files.writing(tmp_path):
            assert files.half_written(tmp_path) == []
        file.touch()
    assert sorted(path.name for path in inside.iterdir()) == [".kept-1", "a"]


@pytest.mark.parametrize("name", [".gitkeep", ".nfs0123", ".my-notes", ".a-1-0123", ".a-b-0123abcd", "a-1-0123abcd"])
def test_what_is_somebody_elses_stays(tmp_path, name):
    """A name of another form than writers use, hidden or not, is none of ours."""
    (tmp_path / name).touch()
    assert files.remove_half_written(tmp_path) == []
    assert (tmp_path / name).exists()


def test_what_is_half_written_is_not_looked_for_behind_links(tmp_path):
    """A folder that leads elsewhere keeps what stands there, and what is half-written and a link loses the link."""
    elsewhere, home = tmp_path / "elsewhere", tmp_path / "home"
    for folder in (elsewhere, home):
        folder.mkdir()
    (elsewhere / ".a-1-0123abcd").touch()
    (home / "2").symlink_to(elsewhere)
    (home / ".champion-1-0123abcd").symlink_to(elsewhere)
    assert files.remove_half_written(home) == [home / ".champion-1-0123abcd"]
    assert [path.name for path in elsewhere.iterdir()] == [".a-1-0123abcd"]


def test_what_cannot_be_removed_is_not_told_as_removed(tmp_path, monkeypatch):
    """Whoever writes goes on beside what belongs to somebody else."""
    (tmp_path / ".a-1-0123abcd").mkdir()

    def refuse(path):
        raise PermissionError(path)

    monkeypatch.setattr(files.shutil, "rmtree", refuse)
    assert files.remove_half_written(tmp_path) == []
    assert files.half_written(tmp_path) == [tmp_path / ".a-1-0123abcd"]

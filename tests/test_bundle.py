from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from service import bundle
from service.errors import BundleError

FILES = [bundle.SUMS, bundle.MODEL, bundle.MANIFEST, bundle.GOLDEN, bundle.METRICS]
ROOT = Path(__file__).parents[1]


@pytest.fixture
def wine(artifacts: Path) -> Path:
    """A published bundle to damage."""
    return artifacts / "wine" / "1"


def change(path: Path, **values: object) -> None:
    """Change fields of a JSON document."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def refused(folder: Path) -> str:
    """Return why a bundle is refused; the reason names it and nothing else of this machine."""
    with pytest.raises(BundleError) as caught:
        bundle.read(folder)
    assert str(caught.value).startswith("wine/1")
    assert str(folder.parents[2]) not in str(caught.value)
    return str(caught.value)


def test_sums_are_read_by_sha256sum(wine: Path):
    """Everybody's tool checks a bundle."""
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", bundle.SUMS], cwd=wine, check=True)


@pytest.mark.parametrize("name", FILES)
def test_every_changed_byte_is_refused(wine: Path, name: str):
    """A byte that changed anywhere makes the bundle refused, and the reason names the file."""
    path = wine / name
    good = path.read_bytes()
    step = 1 if name == bundle.SUMS else max(1, len(good) // 150)
    for at in [*range(0, len(good), step), len(good) - 1]:
        for flip in (0x01, 0x07, 0x20, 0x80):
            path.write_bytes(good[:at] + bytes([good[at] ^ flip]) + good[at + 1 :])
            reason = refused(wine)
            assert re.match(rf"wine/1/({'|'.join(FILES)}) ", reason)
            assert name == bundle.SUMS or reason.startswith(f"wine/1/{name} is damaged")
    path.write_bytes(good)
    assert bundle.read(wine).version == 1


@pytest.mark.parametrize("name", FILES[1:])
def test_truncated_file_is_refused(wine: Path, name: str):
    """A file that lost its end, or everything, makes the bundle refused by its name."""
    path = wine / name
    good = path.read_bytes()
    for size in (0, 1, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:size])
        assert refused(wine).startswith(f"wine/1/{name} is damaged")


def test_truncated_sums_are_never_served(wine: Path):
    """Sums that lost their end make a bundle refused, or no longer published, at every length."""
    path = wine / bundle.SUMS
    good = path.read_bytes()
    for size in range(len(good)):
        path.write_bytes(good[:size])
        assert not bundle.is_published(wine)


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_refused(wine: Path, name: str):
    """A bundle without one of its files is refused by that file's name."""
    (wine / name).unlink()
    assert refused(wine).startswith(f"wine/1/{name} cannot be read")


@pytest.mark.parametrize("name", FILES)
def test_link_is_refused(wine: Path, tmp_path: Path, name: str):
    """A file that is a link is refused even if it leads to the right content."""
    elsewhere = shutil.move(wine / name, tmp_path / "elsewhere")
    (wine / name).symlink_to(elsewhere)
    assert refused(wine).startswith(f"wine/1/{name} cannot be read")


@pytest.mark.parametrize("name", FILES)
def test_pipe_is_refused_without_waiting(wine: Path, name: str):
    """A named pipe in place of a file is refused; nobody waits for its other end."""
    (wine / name).unlink()
    os.mkfifo(wine / name)
    assert refused(wine).startswith(f"wine/1/{name} cannot be read (shared or no file")


@pytest.mark.parametrize("name", FILES)
def test_hard_link_is_refused(wine: Path, tmp_path: Path, name: str):
    """A file that has another name elsewhere is refused: it may be somebody's secret, and change under our feet."""
    os.link(wine / name, tmp_path / "elsewhere")
    assert refused(wine).startswith(f"wine/1/{name} cannot be read (shared or no file")


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_any_length_is_refused_unread(wine: Path, name: str):
    """Longer than a file of its kind can be, it is told so, and takes no memory."""
    os.truncate(wine / name, 60_000_000_000)
    tracemalloc.start()
    told = refused(wine)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    longest = bundle.LONGEST.get(name, bundle.LONGEST_DOCUMENT)
    assert told == f"wine/1/{name} cannot be read (longer than {longest:,} bytes): train the model again"
    assert most < 10_000_000


def test_folder_that_is_a_link_is_refused(wine: Path, tmp_path: Path):
    """A version that is a link to another place is refused."""
    wine.symlink_to(shutil.move(wine, tmp_path / "elsewhere"))
    assert refused(wine).startswith("wine/1/SHA256SUMS cannot be read")


def test_folder_in_place_of_a_file_is_refused(wine: Path):
    """A folder that bears a file's name is refused."""
    (wine / bundle.MODEL).unlink()
    (wine / bundle.MODEL).mkdir()
    before = psutil.Process().num_fds()
    assert refused(wine).startswith("wine/1/model.onnx cannot be read")
    assert psutil.Process().num_fds() == before


@pytest.mark.parametrize(
    "line", ["x", f"{'0' * 64}  ../../etc/passwd", f"{'0' * 64}  other.onnx", f"{'0' * 64} *model.onnx", ""]
)
def test_sums_that_name_anything_else_are_refused(wine: Path, line: str):
    """Sums with a line too many, whatever it says, are refused before a file is opened."""
    with (wine / bundle.SUMS).open("a") as file:
        file.write(line + "\n")
    assert refused(wine).startswith("wine/1/SHA256SUMS ")


@pytest.mark.parametrize("others", [{}, {"features": "by another name", "estimator": None}])
def test_unknown_format_is_named(wine: Path, reseal: Callable[[Path], None], others: dict[str, object]):
    """A manifest of another format is refused by that number, even if its other fields are unknown too."""
    change(wine / bundle.MANIFEST, format=2, **others)
    reseal(wine)
    assert refused(wine).startswith("wine/1/manifest.json has format 2, this service reads format 1")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (bundle.MANIFEST, b"{}"),
        (bundle.MANIFEST, b"not json"),
        (bundle.MANIFEST, b"[" * 100_000),
        (bundle.GOLDEN, b'{"rows": 3}'),
        (bundle.METRICS, b"\xff"),
        (bundle.MANIFEST, b'{"format": 1, "model": "\xff"}'),
    ],
    ids=repr,
)
def test_document_that_is_not_understood_is_refused(
    wine: Path, reseal: Callable[[Path], None], name: str, content: bytes
):
    """A document with the right hash and the wrong content is refused by its name."""
    (wine / name).write_bytes(content[:40] if len(content) < 100 else content)
    reseal(wine)
    assert refused(wine).startswith(f"wine/1/{name} is not understood")


@pytest.mark.parametrize(
    ("kind", "low"),
    [("date", 3.5), ("date", "1.5.2024"), ("date", "2024-02-30"), ("number", "2024-05-01"), ("boolean", "x")],
)
def test_a_range_of_another_kind_is_refused(wine: Path, reseal: Callable[[Path], None], kind: str, low: object):
    """The limits of a date are dates and those of a number numbers, or the manifest is not understood."""
    document = json.loads((wine / "manifest.json").read_text())
    document["features"][0].update(kind=kind, min=low)
    (wine / "manifest.json").write_text(json.dumps(document))
    reseal(wine)
    assert refused(wine).startswith("wine/1/manifest.json is not understood: ")


def test_bundle_in_the_folder_of_another_model_is_refused(artifacts: Path):
    """A bundle answers for the model it was made for and for no other."""
    shutil.copytree(artifacts / "wine" / "1", artifacts / "beer" / "1")
    with pytest.raises(BundleError, match="beer/1 holds the model 'wine'"):
        bundle.read(artifacts / "beer" / "1")


def test_versions_are_ordered_by_number(tmp_path: Path):
    """Versions are whole numbers from 1 in their own order; other names are none."""
    for name in ("10", "9", "2", "1", "0", "01", "-1", "1.5", "x", ".candidate-1", "²", "1234567890"):
        (tmp_path / name).mkdir()
    assert bundle.versions(tmp_path) == [1, 2, 9, 10]
    assert bundle.versions(tmp_path / "none") == []


@pytest.mark.parametrize("name", ["wine", "0", "a-b_c", "a" * 64])
def test_good_name_of_a_model(name: str):
    """Lower-case letters, digits, - and _ name a model."""
    assert bundle.model_name(name) == name

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
import pytest

from service import bundle, files
from service.errors import BundleError

FILES = [bundle.SUMS, bundle.MODEL, bundle.MANIFEST, bundle.GOLDEN, bundle.METRICS]
ROOT = Path(__file__).parents[1]

WRITER = """
import resource, signal, sys
from pathlib import Path
from service import bundle
source = bundle.read(Path(sys.argv[1]))
artifacts, count, limit, dies, publish = Path(sys.argv[2]), *map(int, sys.argv[3:])
print("ready", flush=True)
sys.stdin.readline()
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if dies else signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
for _ in range(count):
    place = bundle.write_candidate(artifacts, source.manifest, source.golden, source.model)
    print(place.name, flush=True)
if publish:
    bundle.publish(artifacts / "wine" / "1", source.metrics)
"""


@pytest.fixture
def wine(artifacts: Path) -> Path:
    """A published bundle to damage."""
    return artifacts / "wine" / "1"


@pytest.fixture
def source(wine_artifacts: Path) -> bundle.Bundle:
    """A bundle as read, to write others from."""
    return bundle.read(wine_artifacts / "wine" / "1")


@pytest.fixture
def candidate(source: bundle.Bundle, tmp_path: Path) -> Path:
    """A bundle that was not evaluated."""
    return bundle.write_candidate(tmp_path / "candidates", source.manifest, source.golden, source.model)


def start_writer(
    source: Path, artifacts: Path, count: int = 1, limit: int = 0, dies: bool = False, publish: bool = False
) -> subprocess.Popen[str]:
    """Start a process that writes candidates when its standard input says so; a file may have `limit` bytes."""
    words = [str(word) for word in (source, artifacts, count, limit, int(dies), int(publish))]
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, *words],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


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


def test_written_bundle_is_read_back(source: bundle.Bundle, candidate: Path):
    """What is read is what was written, and a candidate has no metrics."""
    again = bundle.read(candidate)
    assert (again.manifest, again.golden, again.model) == (source.manifest, source.golden, source.model)
    assert (again.version, again.metrics, again.folder) == (1, None, candidate)


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
    assert refused(wine).startswith(f"wine/1/{name} is shared or no file")


@pytest.mark.parametrize("name", FILES)
def test_hard_link_is_refused(wine: Path, tmp_path: Path, name: str):
    """A file that has another name elsewhere is refused: it may be somebody's secret, and change under our feet."""
    os.link(wine / name, tmp_path / "elsewhere")
    assert refused(wine).startswith(f"wine/1/{name} is shared or no file")


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


def test_publish_completes_a_candidate(source: bundle.Bundle, candidate: Path):
    """Metrics make a candidate a published bundle."""
    assert source.metrics
    assert not bundle.is_published(candidate)
    bundle.publish(candidate, source.metrics)
    assert bundle.is_published(candidate)
    assert bundle.read(candidate).metrics == source.metrics


def test_metrics_that_are_not_summed_publish_nothing(source: bundle.Bundle, candidate: Path, wine: Path):
    """Laying a metrics.json beside a candidate does not publish it."""
    shutil.copy(wine / bundle.METRICS, candidate)
    assert not bundle.is_published(candidate)
    assert bundle.read(candidate).metrics is None


def test_publishing_twice_is_refused(source: bundle.Bundle, wine: Path):
    """What was published stays as it was, to the byte."""
    before = {name: (wine / name).read_bytes() for name in FILES}
    assert source.metrics
    with pytest.raises(BundleError, match="wine/1 is published already: train again"):
        bundle.publish(wine, source.metrics)
    assert {name: (wine / name).read_bytes() for name in FILES} == before


def test_next_version_follows_the_highest(source: bundle.Bundle, tmp_path: Path):
    """A new candidate comes after the highest number, whatever lies in between; 10 follows 9."""
    (tmp_path / "wine" / "9").mkdir(parents=True)
    (tmp_path / "wine" / "9" / "kept").touch()
    names = [bundle.write_candidate(tmp_path, source.manifest, source.golden, source.model).name for _ in range(2)]
    assert names == ["10", "11"]
    assert (tmp_path / "wine" / "9" / "kept").exists()


def test_the_next_writer_removes_what_a_dead_one_left(source: bundle.Bundle, candidate: Path):
    """Hidden names with a dash are leftovers wherever a model keeps files; other hidden names are somebody's."""
    home = candidate.parent
    for place in (home / ".2-77-aa", candidate / ".champion-77-aa"):
        place.mkdir()
        (place / "half").touch()
    for path in (home / ".champion-77-aa", candidate / ".metrics.json-77-aa", home / ".gitkeep"):
        path.touch()
    (home / ".link-to").symlink_to(candidate)
    bundle.write_candidate(home.parent, source.manifest, source.golden, source.model)
    assert sorted(path.name for path in home.iterdir()) == [".gitkeep", "1", "2"]
    assert {path.name for path in candidate.iterdir()} == {bundle.SUMS, *bundle.CANDIDATE_FILES}


def test_leftovers_are_not_looked_for_behind_links(candidate: Path, tmp_path: Path):
    """A version that leads elsewhere keeps what stands there, and a leftover that is a link loses the link alone."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / ".bash-history").touch()
    (candidate.parent / "2").symlink_to(tmp_path / "elsewhere")
    (candidate.parent / ".champion-1-aa").symlink_to(tmp_path / "elsewhere")
    assert bundle.remove_leftovers(candidate.parent) == [candidate.parent / ".champion-1-aa"]
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == [".bash-history"]


def test_versions_are_ordered_by_number(tmp_path: Path):
    """Versions are whole numbers from 1 in their own order; other names are none."""
    for name in ("10", "9", "2", "1", "0", "01", "-1", "1.5", "x", ".candidate-1", "²", "1234567890"):
        (tmp_path / name).mkdir()
    assert bundle.versions(tmp_path) == [1, 2, 9, 10]
    assert bundle.versions(tmp_path / "none") == []


def test_writers_at_once_get_versions_of_their_own(wine_artifacts: Path, tmp_path: Path):
    """Two processes that write at the same moment never share a version, and each version is whole."""
    writers = [start_writer(wine_artifacts / "wine" / "1", tmp_path, 20) for _ in range(2)]
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("go\n")
        writer.stdin.flush()
    numbers = [int(line) for writer in writers for line in writer.communicate()[0].split()]
    assert sorted(numbers) == list(range(1, 41))
    assert bundle.versions(tmp_path / "wine") == list(range(1, 41))
    for number in numbers:
        bundle.read(tmp_path / "wine" / str(number))
    assert not list((tmp_path / "wine").glob(".*"))


def test_killed_writer_leaves_nothing_to_see(wine_artifacts: Path, source: bundle.Bundle, tmp_path: Path):
    """A writer killed in the middle of a file leaves no version, and the next one gets its number."""
    writer = start_writer(wine_artifacts / "wine" / "1", tmp_path, limit=1000, dies=True)
    writer.communicate("go\n")
    assert writer.returncode == -signal.SIGXFSZ
    assert bundle.versions(tmp_path / "wine") == []
    assert bundle.write_candidate(tmp_path, source.manifest, source.golden, source.model).name == "1"


def test_failed_write_cleans_up(wine_artifacts: Path, tmp_path: Path):
    """A write that fails, as on a full disk, says so and leaves nothing at all."""
    writer = start_writer(wine_artifacts / "wine" / "1", tmp_path, limit=1000)
    _, error = writer.communicate("go\n")
    assert writer.returncode == 1
    assert "File too large" in error
    assert list((tmp_path / "wine").iterdir()) == []


@pytest.mark.parametrize("dies", [False, True])
def test_failed_publication_leaves_a_candidate(
    wine_artifacts: Path, source: bundle.Bundle, candidate: Path, dies: bool
):
    """A publication that fails or is killed leaves the candidate as it was, to be published again."""
    writer = start_writer(wine_artifacts / "wine" / "1", candidate.parents[1], 0, limit=100, dies=dies, publish=True)
    writer.communicate("go\n")
    assert writer.returncode == (-signal.SIGXFSZ if dies else 1)
    assert not bundle.is_published(candidate)
    assert bundle.read(candidate).metrics is None
    assert source.metrics
    bundle.publish(candidate, source.metrics)
    assert bundle.is_published(candidate)


@pytest.mark.parametrize("name", ["wine", "0", "a-b_c", "a" * 64])
def test_good_name_of_a_model(name: str):
    """Lower-case letters, digits, - and _ name a model."""
    assert bundle.model_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "..", ".", "a/b", "/a", "a\\b", "%2e%2e", "Wine", "WINE", "-a", "_a", "a" * 65, "a\n", "a b", "é", "a\0"],
)
def test_bad_name_of_a_model(name: str, source: bundle.Bundle, tmp_path: Path):
    """Any other name is refused, and nothing is written under it."""
    with pytest.raises(BundleError, match="cannot name a model"):
        bundle.model_name(name)
    manifest = msgspec.structs.replace(source.manifest, model=name)
    with pytest.raises(BundleError, match="cannot name a model"):
        bundle.write_candidate(tmp_path / "artifacts", manifest, source.golden, source.model)
    assert list(tmp_path.iterdir()) == []


def test_replaced_file_is_whole_and_alone(tmp_path: Path):
    """Replacing a file leaves the new content and nothing beside it."""
    path = tmp_path / "champion"
    for text in (b"1\n", b"2\n"):
        files.replace_file(path, text)
        assert path.read_bytes() == text
    assert list(tmp_path.iterdir()) == [path]


def test_replacement_that_fails_keeps_the_old(tmp_path: Path):
    """Where a file cannot be replaced, what stands there stays and nothing is left beside it."""
    (tmp_path / "champion").mkdir()
    with pytest.raises(OSError, match="champion"):
        files.replace_file(tmp_path / "champion", b"1\n")
    assert [path.name for path in tmp_path.iterdir()] == ["champion"]

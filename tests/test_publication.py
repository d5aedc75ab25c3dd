from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from service import bundle, publication
from service.errors import BundleError

FILES = [bundle.SUMS, bundle.MODEL, bundle.MANIFEST, bundle.GOLDEN, bundle.METRICS]
ROOT = Path(__file__).parents[1]

WRITER = """
import resource, signal, sys
from pathlib import Path
from service import bundle, publication
source = bundle.read(Path(sys.argv[1]))
artifacts, count, limit, dies, publish = Path(sys.argv[2]), *map(int, sys.argv[3:])
print("ready", flush=True)
sys.stdin.readline()
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if dies else signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
for _ in range(count):
    place = publication.write_candidate(artifacts, source.manifest, source.golden, source.model)
    print(place.name, flush=True)
if publish:
    publication.publish(artifacts / "wine" / "1", source.metrics)
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
    return publication.write_candidate(tmp_path / "candidates", source.manifest, source.golden, source.model)


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


def test_written_bundle_is_read_back(source: bundle.Bundle, candidate: Path):
    """What is read is what was written, and a candidate has no metrics."""
    again = bundle.read(candidate)
    assert (again.manifest, again.golden, again.model) == (source.manifest, source.golden, source.model)
    assert (again.version, again.metrics, again.folder) == (1, None, candidate)


def test_metrics_that_are_not_summed_publish_nothing(source: bundle.Bundle, candidate: Path, wine: Path):
    """Laying a metrics.json beside a candidate does not publish it."""
    shutil.copy(wine / bundle.METRICS, candidate)
    assert not bundle.is_published(candidate)
    assert bundle.read(candidate).metrics is None


def test_publish_completes_a_candidate(source: bundle.Bundle, candidate: Path):
    """Metrics make a candidate a published bundle."""
    assert source.metrics
    assert not bundle.is_published(candidate)
    publication.publish(candidate, source.metrics)
    assert bundle.is_published(candidate)
    assert bundle.read(candidate).metrics == source.metrics


def test_publishing_twice_is_refused(source: bundle.Bundle, wine: Path):
    """What was published stays as it was, to the byte."""
    before = {name: (wine / name).read_bytes() for name in FILES}
    assert source.metrics
    with pytest.raises(BundleError, match="wine/1 is published already: train again"):
        publication.publish(wine, source.metrics)
    assert {name: (wine / name).read_bytes() for name in FILES} == before


def test_next_version_follows_the_highest(source: bundle.Bundle, tmp_path: Path):
    """A new candidate comes after the highest number, whatever lies in between; 10 follows 9."""
    (tmp_path / "wine" / "9").mkdir(parents=True)
    (tmp_path / "wine" / "9" / "kept").touch()
    names = [publication.write_candidate(tmp_path, source.manifest, source.golden, source.model).name for _ in range(2)]
    assert names == ["10", "11"]
    assert (tmp_path / "wine" / "9" / "kept").exists()


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
    assert publication.write_candidate(tmp_path, source.manifest, source.golden, source.model).name == "1"


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
    publication.publish(candidate, source.metrics)
    assert bundle.is_published(candidate)


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
        publication.write_candidate(tmp_path / "artifacts", manifest, source.golden, source.model)
    assert list(tmp_path.iterdir()) == []

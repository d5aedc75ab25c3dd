"""The bundle: a model as data, bound by hashes; its one definition, writer and reader together.

A folder `<artifacts>/<model>/<version>/` holds `model.onnx`, `manifest.json` and `golden.json`; an evaluated
one also `metrics.json`. `SHA256SUMS` names each with its hash (`sha256sum -c` reads it), so that every byte is
checked before a parser sees it. A bundle whose sums do not name `metrics.json` is a candidate and never served.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

import msgspec

from service.errors import BundleError
from service.files import locked, make_folder, replace_file, sha256, write_folder
from service.rows import dates

FORMAT = 1
"""Raise it when a reader of today would misread a bundle of tomorrow; say in docs/bundle.md what changed."""

SUMS, MODEL, MANIFEST, GOLDEN, METRICS = "SHA256SUMS", "model.onnx", "manifest.json", "golden.json", "metrics.json"
CANDIDATE_FILES = (MODEL, MANIFEST, GOLDEN)
MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

Value = bool | int | float | str | None
Label = int | str
Parsed = TypeVar("Parsed")


class Feature(msgspec.Struct, frozen=True):
    """One column that the model reads; min and max (a date's as ISO text), or categories, are what training saw."""

    name: str
    kind: Literal["number", "category", "boolean", "date"]
    unit: str = ""
    meaning: str = ""
    nullable: bool = False
    min: float | str | None = None
    max: float | str | None = None
    categories: list[str] = []
    example: Value = None

    def __post_init__(self) -> None:
        for limit in (self.min, self.max):
            if limit is not None and isinstance(limit, str) != (self.kind == "date"):
                raise ValueError(f"the range of {self.name[:80]!r} is not one of its kind, {self.kind}")
            if isinstance(limit, str):
                dates.read([limit])


class Target(msgspec.Struct, frozen=True):
    """What is predicted; `classes` in the order of the probability columns, empty for a regression."""

    name: str
    unit: str = ""
    meaning: str = ""
    classes: list[Label] = []


class Written(msgspec.Struct, frozen=True):
    """How the training table was written, "" what it did not show; `first` is what a column's dates begin with."""

    separator: str = ""
    decimal: str = ""
    thousands: str = ""
    encoding: str = ""
    first: dict[str, str] = {}


class Data(msgspec.Struct, frozen=True):
    """The table that the model was made from: `training` of its `rows` were learned from."""

    file: str
    rows: int
    training: int
    sha256: str
    written: Written = Written()


class Split(msgspec.Struct, frozen=True):
    """How rows were held out: by a hash of their content in `columns`, seeded."""

    seed: int
    test_size: float
    columns: list[str]


class Stamp(msgspec.Struct, frozen=True):
    """What every manifest has in common, whatever its format."""

    format: int


class Manifest(msgspec.Struct, frozen=True):
    """What a model is: enough to serve it, to describe it, and to make it again."""

    format: int
    model: str
    task: Literal["classification", "regression"]
    estimator: str
    features: list[Feature]
    target: Target
    data: Data
    split: Split
    parameters: dict[str, Any]
    cross_validation: dict[str, Any]
    notebook_sha256: str
    git_commit: str
    packages: dict[str, str]
    created: str
    settings: dict[str, Any] = {}


class Golden(msgspec.Struct, frozen=True):
    """Rows and the answers of scikit-learn's own pipeline for them; `tolerance` is absolute.

    `background` are training rows that a prediction is explained by: what it would be on average.
    """

    rows: list[dict[str, Value]]
    predict: list[Value]
    predict_proba: list[list[float]]
    tolerance: float
    background: list[dict[str, Value]] = []


class Metric(msgspec.Struct, frozen=True):
    """A measured figure with its 95 % interval."""

    value: float | None
    low: float | None = None
    high: float | None = None


class Verdict(msgspec.Struct, frozen=True):
    """Whether the gate lets this version become champion, and why; `difference` is the headline metric's gain."""

    promote: bool
    reasons: list[str]
    champion: int | None = None
    difference: Metric | None = None

    @property
    def objection(self) -> str:
        """What speaks against the version: the reasons that do not say `passed`, or all of them if each does."""
        against = [reason for reason in self.reasons if not reason.startswith("passed")]
        return "; ".join(against or self.reasons)


class Calibration(msgspec.Struct, frozen=True):
    """Ascending conformity scores of held-out rows: |true - predicted|, or 1 - the true class's probability.

    `ranks` says which of the rows' scores each one is, counted from 1; empty means that all are kept.
    """

    rows: int
    scores: list[float]
    ranks: list[int] = []

    def __post_init__(self) -> None:
        ranks = self.ranks or range(1, len(self.scores) + 1)
        rising = all(low < high for low, high in pairwise(ranks))
        if not self.scores or len(ranks) != len(self.scores) or not rising or ranks[-1] != self.rows:
            raise ValueError("a calibration needs one score for each of its ranks, which rise up to its rows")
        if any(low > high for low, high in pairwise(self.scores)):
            raise ValueError("the scores of a calibration must not fall")


class Metrics(msgspec.Struct, frozen=True):
    """What the held-out rows showed."""

    rows: int
    headline: str
    held_out: dict[str, Metric]
    baseline: dict[str, float | None]
    cross_validation: dict[str, Any]
    per_class: dict[str, dict[str, float]]
    verdict: Verdict
    evaluated: str
    calibration: Calibration | None = None


class Bundle(msgspec.Struct, frozen=True):
    """A bundle whose every file matched its hash when it was read; the fingerprint stands for all of them."""

    folder: Path
    version: int
    manifest: Manifest
    golden: Golden
    model: bytes
    metrics: Metrics | None
    fingerprint: str = ""


def read(folder: Path) -> Bundle:
    """Return the verified bundle in `folder`, or raise BundleError saying which file is wrong and how."""
    listed = _read_file(folder / SUMS)
    sums = _parse_sums(listed, folder / SUMS)
    content = {name: _read_verified(folder / name, digest) for name, digest in sums.items()}
    stamp = _parse(content[MANIFEST], Stamp, folder / MANIFEST)
    if stamp.format != FORMAT:
        raise BundleError(
            f"{told(folder / MANIFEST)} has format {stamp.format}, this service reads format {FORMAT}: "
            "serve it with the Cellar that made it, or train the model again"
        )
    manifest = _parse(content[MANIFEST], Manifest, folder / MANIFEST)
    if manifest.model != folder.absolute().parent.name:
        raise BundleError(f"{told(folder, 2)} holds the model {manifest.model[:80]!r}: move it to that model's folder")
    return Bundle(
        folder=folder,
        version=int(folder.name),
        manifest=manifest,
        golden=_parse(content[GOLDEN], Golden, folder / GOLDEN),
        model=content[MODEL],
        metrics=_parse(content[METRICS], Metrics, folder / METRICS) if METRICS in content else None,
        fingerprint=sha256(listed),
    )


def is_published(folder: Path) -> bool:
    """Whether the bundle in `folder` was evaluated, by what its sums name."""
    try:
        return METRICS in read_sums(folder)
    except BundleError:
        return False


def fingerprint(folder: Path) -> str:
    """Return the hash of the sums, that of nothing where they cannot be read; links and pipes are not followed."""
    try:
        return sha256(_read_file(folder / SUMS))
    except BundleError:
        return sha256(b"")


def read_sums(folder: Path) -> dict[str, str]:
    """Return {file name: sha256} as `SHA256SUMS` states it, or raise BundleError if it is missing or odd."""
    return _parse_sums(_read_file(folder / SUMS), folder / SUMS)


def _parse_sums(listed: bytes, path: Path) -> dict[str, str]:
    lines = listed.decode("ascii", "replace").splitlines(keepends=True)
    sums = {}
    for line in lines:
        match = re.fullmatch(r"([0-9a-f]{64})  ([a-z.]+)\n", line)
        if not match:
            raise BundleError(f"{told(path)} is damaged at {line[:80]!r}: train the model again")
        sums[match[2]] = match[1]
    if set(sums) not in ({*CANDIDATE_FILES}, {*CANDIDATE_FILES, METRICS}):
        raise BundleError(f"{told(path)} names {sorted(sums)}, not the files of a bundle: train the model again")
    return sums


def write_candidate(artifacts: Path, manifest: Manifest, golden: Golden, model: bytes) -> Path:
    """Write a new candidate and return its folder, named by the next free version: all of it appears or none."""
    content = {MODEL: model, MANIFEST: _pretty(manifest), GOLDEN: _pretty(golden)}
    content[SUMS] = _sums_text({name: sha256(data) for name, data in content.items()})
    home = artifacts / model_name(manifest.model)
    make_folder(home)
    with writing(home):
        place = home / str(max(versions(home), default=0) + 1)
        write_folder(place, content)
    return place


def publish(folder: Path, metrics: Metrics) -> None:
    """Add `metrics` to the candidate in `folder`; the last write, of its sums, is what makes it servable."""
    data = _pretty(metrics)
    _parse(data, Metrics, folder / METRICS)
    with writing(folder.parent):
        sums = read_sums(folder)
        if METRICS in sums:
            raise BundleError(f"{told(folder, 2)} is published already: train again for a new version")
        replace_file(folder / METRICS, data)
        replace_file(folder / SUMS, _sums_text({**sums, METRICS: sha256(data)}))


@contextmanager
def writing(home: Path) -> Iterator[None]:
    """Keep other writers out of a model's folder and its versions, and remove what those that died left there."""
    with locked(home):
        remove_leftovers(home)
        yield


def remove_leftovers(home: Path) -> list[Path]:
    """Remove what is half-written in a model's folder and its versions, and return it; the caller holds the lock.

    Whoever writes there holds it too, and writes under names that begin with a dot and have a dash.
    """
    inside = (home / str(version) for version in versions(home))
    places = [home, *(place for place in inside if not place.is_symlink())]
    found = [path for place in places for path in sorted(place.glob(".*-*"))]
    for path in found:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):  # what somebody else owns stands in nobody's way
                path.unlink()
    return [path for path in found if not os.path.lexists(path)]


def model_name(name: str) -> str:
    """Return `name` if it can name a model (and so a folder and a part of an address), else raise BundleError."""
    if not MODEL_NAME.fullmatch(name):
        raise BundleError(
            f"{name[:80]!r} cannot name a model: "
            "use up to 64 lower-case letters, digits, - and _, a letter or digit first"
        )
    return name


def told(path: Path, parts: int = 3) -> str:
    """Return how a message names a file, by model and version: where the machine keeps it is nobody's business."""
    return "/".join(path.parts[-parts:])


def unreadable(path: Path, parts: int, error: OSError) -> BundleError:
    """Return the error for a file or folder that is named by the last `parts` of its path."""
    return BundleError(f"{told(path, parts)} cannot be read ({error.strerror}): mend that and try again")


def versions(home: Path) -> list[int]:
    """Return the version numbers of the bundles below a model's folder, published or not, in order.

    Raise BundleError if it is no folder, or cannot be read.
    """
    try:
        names = os.listdir(home)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(home, 1, error) from error
    return sorted(int(name) for name in names if re.fullmatch(r"[1-9][0-9]{0,8}", name))


def _read_verified(path: Path, expected: str) -> bytes:
    data = _read_file(path)
    actual = sha256(data)
    if actual != expected:
        raise BundleError(f"{told(path)} is damaged: sha256 is {actual}, {SUMS} says {expected}; train the model again")
    return data


def _read_file(path: Path) -> bytes:
    try:
        with _open_inside(path.parent, path.name) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
                raise BundleError(f"{told(path)} is shared or no file (a hard link, a pipe): copy the bundle whole")
            return file.read()
    except OSError as error:
        raise BundleError(f"{told(path)} cannot be read ({error.strerror}): the bundle is incomplete") from error


def _open_inside(folder: Path, name: str) -> BinaryIO:
    """Open a file of a folder without following a link, be it the file or the folder, or waiting for a pipe."""
    home = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return open(name, "rb", opener=lambda name, _: os.open(name, flags, dir_fd=home))
    finally:
        os.close(home)


def _parse(data: bytes, kind: type[Parsed], path: Path) -> Parsed:
    try:
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors, as that of bad UTF-8 is
        raise BundleError(f"{told(path)} is not understood: {error}") from error


def _pretty(document: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def _sums_text(sums: dict[str, str]) -> bytes:
    return "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()

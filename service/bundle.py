"""The bundle: a model as data, bound by hashes; how it is found, read and verified.

A folder `<artifacts>/<model>/<version>/` holds `model.onnx`, `manifest.json` and `golden.json`; an evaluated
one also `metrics.json`. `SHA256SUMS` names each with its hash (`sha256sum -c` reads it), so that every byte is
checked before a parser sees it. A bundle whose sums do not name `metrics.json` is a candidate and never served.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import TypeVar

import msgspec

from service.contents import FORMAT, Golden, Manifest, Metrics, Stamp
from service.errors import BundleError
from service.files import read_regular, sha256

SUMS, MODEL, MANIFEST, GOLDEN, METRICS = "SHA256SUMS", "model.onnx", "manifest.json", "golden.json", "metrics.json"
CANDIDATE_FILES = (MODEL, MANIFEST, GOLDEN)
LONGEST = {SUMS: 4096, MODEL: 1 << 31}
"""The most bytes of a file: ONNX itself holds no more than 2 GB."""
LONGEST_DOCUMENT = 64 << 20
MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

Parsed = TypeVar("Parsed")


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
    stamp = parsed(content[MANIFEST], Stamp, folder / MANIFEST)
    if stamp.format != FORMAT:
        raise BundleError(
            f"{told(folder / MANIFEST)} has format {stamp.format}, this service reads format {FORMAT}: "
            "serve it with the Cellar that made it, or train the model again"
        )
    manifest = parsed(content[MANIFEST], Manifest, folder / MANIFEST)
    if manifest.model != folder.absolute().parent.name:
        raise BundleError(f"{told(folder, 2)} holds the model {manifest.model[:80]!r}: move it to that model's folder")
    return Bundle(
        folder=folder,
        version=int(folder.name),
        manifest=manifest,
        golden=parsed(content[GOLDEN], Golden, folder / GOLDEN),
        model=content[MODEL],
        metrics=parsed(content[METRICS], Metrics, folder / METRICS) if METRICS in content else None,
        fingerprint=sha256(listed),
    )


def read_metrics(folder: Path) -> Metrics | None:
    """Return what was measured of the bundle in `folder`, without its model; BundleError if that is damaged."""
    digest = read_sums(folder).get(METRICS)
    place = folder / METRICS
    return parsed(_read_verified(place, digest), Metrics, place) if digest else None


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
        # Neither the file nor the folder of the version may be a link.
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            return read_regular(path.name, LONGEST.get(path.name, LONGEST_DOCUMENT), folder)
        finally:
            os.close(folder)
    except OSError as error:
        cures = {errno.ENOENT: "the bundle is incomplete", errno.EINVAL: "copy the bundle whole"}
        cures[errno.EFBIG] = "train the model again"
        cure = cures.get(error.errno or 0, "give the service the right to")
        raise BundleError(f"{told(path)} cannot be read ({error.strerror}): {cure}") from error


def parsed(data: bytes, kind: type[Parsed], path: Path) -> Parsed:
    """Return the document in `data`, whose file is `path`, or raise BundleError if it is none of this kind."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors, as that of bad UTF-8 is
        raise BundleError(f"{told(path)} is not understood: {error}") from error

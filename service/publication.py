"""Writing bundles: a candidate that appears whole or not at all, and its publication, which is one write, too."""

from __future__ import annotations

from pathlib import Path

import msgspec

from service.bundle import GOLDEN, MANIFEST, METRICS, MODEL, SUMS, model_name, parsed, read_sums, told, versions
from service.contents import Golden, Manifest, Metrics
from service.errors import BundleError
from service.files import make_folder, replace_file, sha256, write_folder, writing


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
    parsed(data, Metrics, folder / METRICS)
    with writing(folder.parent):
        sums = read_sums(folder)
        if METRICS in sums:
            raise BundleError(f"{told(folder, 2)} is published already: train again for a new version")
        replace_file(folder / METRICS, data)
        replace_file(folder / SUMS, _sums_text({**sums, METRICS: sha256(data)}))


def _pretty(document: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def _sums_text(sums: dict[str, str]) -> bytes:
    return "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()

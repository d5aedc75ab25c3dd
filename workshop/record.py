"""What a run of the whole pipeline rested on, kept beside its reports, so that the same is not run twice."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from service import bundle
from service.errors import BundleError
from service.files import file_sha256, replace_file, sha256
from service.registry import Registry
from workshop import parameters
from workshop.kernel import source
from workshop.pins import read_lock

NAME = "run.json"
CHANGES_NOTHING = ("n_jobs", "data", "model")
"""Parameters that are no input of their own: a share of the machine, the table, and the folder of the record."""


class Inputs(msgspec.Struct, frozen=True):
    """All that decides what a run makes; files are named by their sha256, parameters include the defaults."""

    table: str
    sha256: str
    card: str
    code: str
    parameters: dict[str, dict[str, Any]]
    lock: str
    python: str


class Record(msgspec.Struct, frozen=True):
    """The inputs of a run that ended well, and the sha256 of the sums of the bundle that it published."""

    inputs: Inputs
    sums: str


def read_inputs(table: Path, notebooks: list[Path], given: dict[str, Any]) -> Inputs:
    """Return the inputs of a run of these notebooks on a table, as they are now."""
    card = table.with_suffix(".toml")
    chosen = {
        notebook.stem: {
            **{name: known.default for name, known in parameters.read(notebook).items()},
            **parameters.choose(notebook, given),
        }
        for notebook in notebooks
    }
    return Inputs(
        table=table.name,
        sha256=file_sha256(table),
        card=file_sha256(card) if card.is_file() else "",
        code=sha256(b"".join(file_sha256(path).encode() for path in sorted(code_of(notebooks)))),
        parameters={
            step: {name: value for name, value in values.items() if name not in CHANGES_NOTHING}
            for step, values in chosen.items()
        },
        lock=sha256(read_lock().encode()),
        python=sys.version,
    )


def write(reports: Path, inputs: Inputs, folder: Path) -> None:
    """Keep beside the reports of a version what it was made from; `folder` is its bundle."""
    record = Record(inputs, file_sha256(folder / bundle.SUMS))
    replace_file(reports / NAME, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")


def find(
    registry: Registry, reports: Path, model: str, table: Path, notebooks: list[Path], given: dict[str, Any]
) -> int:
    """Return the newest version that a run with these inputs made and that still stands with its pages, 0 if none."""
    inputs = None
    for version in reversed(registry.versions(model)):
        record = _read(reports / model / str(version))
        if not record or not _stands(record, registry.place(model, version), reports, notebooks):
            continue
        inputs = inputs or read_inputs(table, notebooks, given)
        asked = inputs.parameters.get("03_evaluate", {}).get("promote")
        if record.inputs == inputs and (asked != "always" or registry.champion(model) == version):
            return version
    return 0


def code_of(notebooks: list[Path]) -> set[Path]:
    """Return the notebooks and every file of the house that they import, directly or not."""
    found, waiting = set(notebooks), list(notebooks)
    while waiting:
        path = waiting.pop()
        new = set(_imported(path, notebooks[0].parent)) - found
        found |= new
        waiting += new
    return found


def _imported(path: Path, notebooks: Path) -> Iterator[Path]:
    text = source(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            for folder in (notebooks, notebooks.parent):
                file = folder.joinpath(*name.split(".")).with_suffix(".py")
                if file.is_file():
                    yield file


def _read(place: Path) -> Record | None:
    try:
        return msgspec.json.decode((place / NAME).read_bytes(), type=Record)
    except (OSError, ValueError):
        return None


def _stands(record: Record, folder: Path, reports: Path, notebooks: list[Path]) -> bool:
    """Say whether the bundle is the one that the run published, sound, and has its pages."""
    place = reports / folder.parent.name / folder.name
    if not all((place / f"{notebook.stem}{end}").is_file() for notebook in notebooks for end in (".ipynb", ".html")):
        return False
    try:
        bundle.read(folder)
    except BundleError:
        return False
    return file_sha256(folder / bundle.SUMS) == record.sums

"""Published numbers beside ours: the notebook `reproduce`, run, with its page and its tables in `reports/`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from service import config
from service.errors import CellarError
from service.files import replace_file, staged
from workshop import kernel
from workshop.execution import NOTEBOOKS, Job, Tell, execute

NAME = "reproduce"


def reproduce(tell: Tell) -> tuple[Path, list[str]]:
    """Run the notebook; return its page's path and each table as text. CellarError if it fails."""
    from modeling.published import TABLE_MIME
    from workshop import reports

    place = config.read().reports / NAME
    place.mkdir(parents=True, exist_ok=True)
    job = Job(NOTEBOOKS / f"{NAME}.ipynb", steps=(NAME,))
    with staged(place / NAME) as folder, kernel.started(job.notebooks) as warm:
        _, error = execute(warm, job, NAME, folder, {}, tell)
        if error:
            raise CellarError(f"the notebook {NAME} failed: {error}")
        reports.render_page(folder / f"{NAME}.ipynb", {NAME}, "Published numbers")
        found = _outputs(folder / f"{NAME}.ipynb", TABLE_MIME)
        for path in sorted(folder.iterdir()):
            path.replace(place / path.name)
    tables = {output[TABLE_MIME]["name"]: output[TABLE_MIME] for output in found}
    replace_file(place / "tables.json", msgspec.json.format(msgspec.json.encode(tables)) + b"\n")
    return place / f"{NAME}.html", ["".join(output["text/plain"]) for output in found]


def _outputs(notebook: Path, mime: str) -> list[dict[str, Any]]:
    """Return what an executed notebook shows in a media type, with its other forms."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    shown = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    return [data for data in shown if mime in data]

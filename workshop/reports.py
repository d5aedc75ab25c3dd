"""Pages for people: executed notebooks as HTML that needs no network, and the list of all versions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from service import bundle
from service.errors import BundleError
from service.files import replace_file
from service.registry import Registry
from workshop.listing import headline

TEMPLATES = Path(__file__).resolve().parent / "templates"
STYLE = re.compile(r"<style\b.*?</style>", re.DOTALL)
NUMBER = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?%?|NaN|nan|inf|")
SHORT = 12
"""Texts of no more letters stay on one line."""
TAGS = (
    "a b strong em i code pre p br hr div span ul ol li blockquote h1 h2 h3 h4 h5 h6 dl dt dd sub sup "
    "table thead tbody tfoot tr th td caption"
).split()
TITLES = {"01_explore": "Explore", "02_train": "Train", "03_evaluate": "Evaluate", "reproduce": "Reproduce"}


def render_page(notebook: Path, names: Iterable[str], caption: str) -> None:
    """Write an HTML page beside an executed notebook, with links to the pages of these names."""
    links = {name: TITLES.get(name, name) for name in sorted(names)}
    resources = {"metadata": {"name": notebook.stem}, "links": links, "caption": caption}
    text, _ = exporter().from_filename(str(notebook), resources=resources)
    notebook.with_suffix(".html").write_text(text, encoding="utf-8")


def write_index(folder: Path, registry: Registry) -> Path:
    """Write `index.html`, the list of every published version with its headline metric; return its path."""
    environment = Environment(loader=FileSystemLoader([TEMPLATES, TEMPLATES / "report"]), autoescape=True)
    models = {
        name: [_row(folder, registry, name, n) for n in reversed(registry.versions(name))] for name in registry.models()
    }
    text = environment.get_template("index.html.j2").render(models=models)
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / "index.html", text.encode())
    return folder / "index.html"


def _row(folder: Path, registry: Registry, name: str, version: int) -> dict[str, Any]:
    report = f"{name}/{version}/03_evaluate.html"
    row: dict[str, Any] = {"version": version, "champion": registry.champion(name) == version}
    row["report"] = report if (folder / report).is_file() else ""
    try:
        found = bundle.read(registry.place(name, version))
    except BundleError as error:
        return {**row, "error": str(error)}
    metric = headline(found.metrics, between=True) if found.metrics else ""
    return {**row, "manifest": found.manifest, "metrics": found.metrics, "metric": metric}


@cache
def exporter() -> Any:
    """Return what makes a page of a notebook; the first time it takes a while to import."""
    from nbconvert import HTMLExporter

    return HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="report",
        extra_template_basedirs=[str(TEMPLATES)],
        sanitize_html=True,
        filters={"clean_html": _clean},
    )


def _clean(element: Any) -> str:
    """Return HTML without anything that could run or load: names and categories come from anybody's table.

    nbconvert's own filter knows no headings and breaks tables; a column's kind is marked for the style.
    """
    import bleach
    from bs4 import BeautifulSoup

    text: str = STYLE.sub("", element.decode() if isinstance(element, bytes) else str(element))
    text = bleach.clean(text, tags=TAGS, attributes={"*": ["class", "id"], "a": ["href"], "th": ["scope", "colspan"]})
    if "<table" not in text:
        return text
    soup = BeautifulSoup(text, "html.parser")
    for table in soup.find_all("table"):
        rows = [row.find_all(["th", "td"]) for row in table.find_all("tr")]
        for cells in zip(*rows, strict=False):
            kind = _kind(cells)
            for cell in cells if kind else ():
                cell["class"] = [kind]
    return soup.decode()


def _kind(cells: Sequence[Any]) -> str:
    """Return how a column's cells are set: as `number`, as `short` texts that need no room to wrap, or "" as others."""
    body = [cell.text.strip() for cell in cells if cell.name == "td"]
    if body and all(NUMBER.fullmatch(text) for text in body):
        return "number"
    return "short" if all(len(text) <= SHORT for text in body or [cell.text.strip() for cell in cells]) else ""

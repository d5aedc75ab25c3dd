from __future__ import annotations

import re

import nbformat
import pytest
from bs4 import BeautifulSoup
from conftest import changed
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from service import bundle
from service.registry import Registry
from workshop import listing, reports

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    '"><svg onload=alert(3)>',
    "[here](javascript:alert(4))",
    "<style>@import 'http://example.org/x.css'</style>",
    "<a href='javascript:alert(5)'>go</a>",
    "<iframe src='http://example.org'></iframe>",
    "</details></section></main><form action='http://example.org'>",
)


def page(
    tmp_path, *outputs, name: str = "01_explore", source: str = "1 + 1", tags: tuple[str, ...] = ()
) -> BeautifulSoup:
    """Render a notebook of one code cell and return its page, with its text as `.raw`."""
    cell = new_code_cell(source, id="one", metadata={"tags": list(tags)}, outputs=list(outputs), execution_count=1)
    notebook = tmp_path / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Title\n\nText.", id="title"), cell]), notebook)
    reports.render_page(notebook, {name}, "a < b")
    return BeautifulSoup(notebook.with_suffix(".html").read_text(encoding="utf-8"), "html.parser")


def shown(**data: str):
    """Make an output that a cell displays."""
    return new_output("display_data", {key.replace("_", "/", 1): value for key, value in data.items()})


def assert_harmless(soup: BeautifulSoup) -> None:
    """Nothing in the page runs, loads or leads to a script."""
    allowed = set(reports.TAGS) | set(
        "[document] html head meta title style body nav main section details summary img".split()
    )
    for tag in soup.find_all(True):
        if tag.attrs == {"rel": ["icon"], "href": "data:,"}:
            continue
        assert tag.name in allowed, tag
        assert not [name for name in tag.attrs if name.startswith("on")], tag
        assert "javascript:" not in str(tag.get("href", "")).lower(), tag
        assert str(tag.get("src", "data:")).startswith("data:"), tag


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    "mime", ["text_html", "text_markdown", "text_plain", "text_latex", "image_svg+xml", "application_javascript"]
)
def test_what_a_cell_shows_is_harmless(tmp_path, mime, text):
    """Markup from a table's names and categories is shown or dropped in every kind of output, and never acts."""
    assert_harmless(page(tmp_path, shown(**{mime: text})))


@pytest.mark.parametrize("text", HOSTILE)
def test_code_prints_and_errors_are_harmless(tmp_path, text):
    """The same markup in code, in what is printed and in an error's message."""
    soup = page(
        tmp_path,
        new_output("stream", name="stdout", text=text),
        new_output("error", ename=text, evalue=text, traceback=[text]),
        source=f"print({text!r})",
    )
    assert_harmless(soup)
    assert text in soup.find(class_="output_error").text


@pytest.mark.parametrize("text", HOSTILE)
def test_alternative_texts_are_harmless(tmp_path, text):
    """A picture's alternative text is the text itself, whatever is in it."""
    output = new_output("display_data", {"image/png": PIXEL}, metadata={"image/png": {"alt": text}})
    soup = page(tmp_path, output)
    assert_harmless(soup)
    assert soup.find("img")["alt"] == text


def test_a_page_allows_nothing_from_elsewhere(tmp_path):
    """Its policy forbids scripts and every other file; it has a language, a title and a way between pages."""
    soup = page(tmp_path)
    policy = soup.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
    assert policy.startswith("default-src 'none'") and "script-src" not in policy and "http" not in policy
    assert soup.html["lang"] == "en"
    assert soup.title.text == "Explore: a < b · Cellar"
    assert not soup.find_all(["script", "iframe", "object", "base"])
    assert all(link["href"] == "data:," for link in soup.find_all("link"))


def test_code_is_folded_and_parameters_are_open(tmp_path):
    """A reader sees results first; what a run was given stands open."""
    assert "open" not in page(tmp_path).find("details").attrs
    given = page(tmp_path, tags=("injected-parameters",)).find("details")
    assert "open" in given.attrs and given.summary.text == "Parameters of this run"
    assert page(tmp_path, tags=("parameters",)).find("details").summary.text == "Parameters"


def test_pages_link_to_one_another(tmp_path):
    """Each page leads to the others of its version and marks itself."""
    for name in ("01_explore", "02_train"):
        nbformat.write(new_notebook(cells=[new_markdown_cell("# T", id="t")]), tmp_path / f"{name}.ipynb")
    reports.render_page(tmp_path / "02_train.ipynb", {"01_explore", "02_train"}, "wine 1")
    nav = BeautifulSoup((tmp_path / "02_train.html").read_text(), "html.parser").nav
    assert [(a["href"], a.text) for a in nav("a")] == [("01_explore.html", "Explore"), ("02_train.html", "Train")]
    assert nav.find(attrs={"aria-current": "page"}).text == "Train"


def test_columns_of_numbers_are_aligned(tmp_path):
    """Headings and cells of a column of numbers are marked for the style; texts are not."""
    table = "<table><tr><th>a</th><th>b</th></tr><tr><td>1.5</td><td>u</td></tr><tr><td>NaN</td><td>2</td></tr></table>"
    soup = page(tmp_path, shown(text_html=table))
    marked = [cell.text for cell in soup.find("table").find_all(["th", "td"]) if "number" in cell.get("class", [])]
    assert marked == ["a", "1.5", "NaN"]


def test_columns_of_short_texts_take_little_room(tmp_path):
    """A column of classes or dates stays on one line; one with a long text somewhere may wrap."""
    table = (
        "<table><tr><th>row</th><th>true</th><th>plan</th></tr>"
        "<tr><th>5</th><td>2023-09-29</td><td>family and friends</td></tr></table>"
    )
    soup = page(tmp_path, shown(text_html=table))
    marked = [cell.text for cell in soup.find("table").find_all(["th", "td"]) if "short" in cell.get("class", [])]
    assert marked == ["row", "true", "5", "2023-09-29"]


def test_index_lists_the_newest_first(houses_artifacts, trained_houses, tmp_path):
    """Each model's published versions with estimator, metric, interval, rows and the gate's words; champions marked."""
    (tmp_path / "houses" / "1").mkdir(parents=True)
    (tmp_path / "houses" / "1" / "03_evaluate.html").touch()
    path = reports.write_index(tmp_path, Registry(houses_artifacts))
    soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    assert path == tmp_path / "index.html"
    assert [h.text for h in soup("h2")] == ["houses", "prices"]
    assert [a["href"] for a in soup("a")] == ["houses/1/03_evaluate.html"]
    row = [cell.text.strip() for cell in soup.find("tbody").find_all(["th", "td"])]
    assert row[:2] == ["version 1 champion", "logistic regression"]
    assert re.fullmatch(r"accuracy \d\.\d{3} \(\d\.\d{3} to \d\.\d{3}\)", row[2]) and re.fullmatch(
        r"\d+ of 160 rows", row[3]
    )


def test_index_without_a_model(tmp_path):
    """An empty house has an index that says so."""
    assert "Nothing is published yet." in reports.write_index(tmp_path / "new", Registry(tmp_path / "no")).read_text()


def test_index_shows_damage(artifacts, tmp_path):
    """A version that cannot be read is listed with what is wrong, beside those that can."""
    (artifacts / "wine" / "1" / bundle.MODEL).write_bytes(b"<b>")
    text = reports.write_index(tmp_path, Registry(artifacts)).read_text()
    assert "model.onnx is damaged" in text


@pytest.mark.parametrize(
    ("measured", "told"),
    [
        ({}, "accuracy unknown"),
        ({"accuracy": {"value": None, "low": None, "high": None}}, "accuracy unknown"),
        ({"accuracy": {"value": 0.75}}, "accuracy 0.750</td>"),
        ({"accuracy": {"value": 0.75, "low": 0.5, "high": 1.0}}, "accuracy 0.750 (0.500 to 1.000)"),
    ],
)
def test_lists_survive_what_could_not_be_computed(artifacts, tmp_path, measured, told):
    """A metric, or its interval, that is not known is left out, and both lists of versions are still made."""
    changed(artifacts / "wine" / "1", metrics={"held_out": measured})
    registry = Registry(artifacts)
    assert told in reports.write_index(tmp_path, registry).read_text()
    assert told.partition("</td>")[0].partition(" (")[0] in listing.table(registry)

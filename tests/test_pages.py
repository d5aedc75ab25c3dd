"""What a browser makes of the pages, without a network."""

from __future__ import annotations

import base64
import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import nbformat
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from service.registry import Registry
from workshop import reports

if TYPE_CHECKING:
    pass

mpl.use("Agg")
WIDTHS = [1280, 390]


def picture() -> str:
    """Draw a figure and return it as a notebook keeps it."""
    figure = Figure(figsize=(9, 4))
    figure.subplots().plot([1, 3, 2])
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return base64.b64encode(file.getvalue()).decode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, wine_artifacts, houses_artifacts) -> Path:
    """A folder of reports: a page with a wide table, a wide picture, long lines and an error, and the index."""
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

    house = tmp_path_factory.mktemp("pages")
    place = house / "reports" / "wine" / "1"
    place.mkdir(parents=True)
    row = "".join(f"<td>{n}.123456</td>" for n in range(30))
    head = "".join(f"<th>od280/od315_of_diluted_wines_{n}</th>" for n in range(30))
    outputs = [
        new_output("display_data", {"text/html": f"<table><thead><tr>{head}</tr></thead><tr>{row}</tr></table>"}),
        new_output(
            "display_data", {"image/png": picture()}, metadata={"image/png": {"alt": "Line plot: up, then down"}}
        ),
        new_output("display_data", {"text/markdown": "- `" + "long_name_" * 20 + "`\n- **bold**"}),
        new_output("stream", name="stdout", text="word " * 200),
        new_output("error", ename="DataError", evalue="sentence", traceback=["DataError: " + "word " * 100]),
    ]
    cells = [
        new_markdown_cell("# A page\n\nText with `" + "code_" * 40 + "`.", id="title"),
        new_code_cell("x = " + "1 + " * 100 + "1", id="wide", outputs=outputs),
        new_code_cell("y = 2", id="silent"),
    ]
    steps = {"01_explore", "02_train", "03_evaluate"}
    for step in steps:
        nbformat.write(new_notebook(cells=cells), place / f"{step}.ipynb")
        reports.render_page(place / f"{step}.ipynb", steps, "wine 1")
    shutil.copytree(wine_artifacts, house / "artifacts")
    shutil.copytree(houses_artifacts, house / "artifacts", dirs_exist_ok=True)
    reports.write_index(house / "reports", Registry(house / "artifacts"))
    return house / "reports"


@pytest.fixture
def look(browser, folder):
    """The function that opens a page at a width, and returns it with what the browser complained of and asked for."""
    opened = []

    def open_page(name: str, width: int):
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
        opened.append(context)
        page, complaints, asked = context.new_page(), [], []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((folder / name).as_uri())
        return page, complaints, asked

    yield open_page
    for context in opened:
        context.close()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["index.html", "wine/1/01_explore.html", "wine/1/03_evaluate.html"])
def test_a_page_is_quiet_and_fits(look, name, width):
    """Nothing is complained of, nothing but files is asked for, and the page never scrolls sideways."""
    page, complaints, asked = look(name, width)
    assert complaints == []
    assert asked and all(url.startswith(("file:", "data:")) for url in asked)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_pictures_are_shown(look, width):
    """Every picture is loaded and has its words; its place is no wider than the page, and scrolls on a phone."""
    page, *_ = look("wine/1/01_explore.html", width)
    shown = page.evaluate(
        "[...document.images].map(i => [i.complete, i.naturalWidth,"
        " i.closest('.output_area').getBoundingClientRect().right, i.alt])"
    )
    assert len(shown) == 1
    for complete, natural, right, alt in shown:
        assert complete and natural > 100 and right <= width and alt


def shades(page, selector: str) -> tuple[int, int]:
    """Return how dark, of 255, the left and the right edge of an element are, in the middle of its values."""
    shot = Image.open(io.BytesIO(page.locator(selector).first.screenshot())).convert("L")
    return tuple(255 - int(np.median(shot.crop((x, 0, x + 2, shot.height)))) for x in (0, shot.width - 2))


@pytest.mark.parametrize("selector", [".output_png", ".output_html"])
def test_a_shadow_says_that_there_is_more(look, selector):
    """On a phone a figure and a wide table are shaded where they go on, and no longer where they end."""
    page, *_ = look("wine/1/01_explore.html", 390)
    left, right = shades(page, selector)
    assert left == 0 and right > 20
    page.eval_on_selector(selector, "one => one.scrollLeft = one.scrollWidth")
    left, right = shades(page, selector)
    assert left > 20 and right == 0


def test_what_fits_has_no_shadow(look):
    """On a wide screen the whole figure is seen, and nothing hints at more."""
    page, *_ = look("wine/1/01_explore.html", 1280)
    assert shades(page, ".output_png") == (0, 0)


def test_a_figure_stays_legible_on_a_phone(look):
    """It is never shown at less than half of its size."""
    page, *_ = look("wine/1/01_explore.html", 390)
    width, natural = page.eval_on_selector(".output_png img", "one => [one.width, one.naturalWidth]")
    assert width >= natural / 2


def test_the_index_is_a_list_on_a_phone(look):
    """Everything said of a version is seen at once, each statement beside its name."""
    page, *_ = look("index.html", 390)
    cells = page.eval_on_selector_all(
        "tbody td", "all => all.map(one => [one.dataset.label, one.getBoundingClientRect().right, one.scrollWidth])"
    )
    assert {label for label, *_ in cells} == {"estimator", "metric", "trained on", "when", "gate"}
    assert all(right <= 390 and inside <= 390 for _, right, inside in cells)
    assert page.locator("tbody th").first.inner_text().startswith("version 1")
    heights = page.eval_on_selector_all("tbody td", "all => all.map(one => one.clientHeight)")
    assert max(heights) < 300


def test_code_opens_on_a_click(look):
    """The code is folded; a click shows it, without a script."""
    page, *_ = look("wine/1/01_explore.html", 1280)
    code = page.get_by_text("1 + 1 +").first
    assert not code.is_visible()
    page.get_by_text("Code", exact=True).first.click()
    assert code.is_visible()


def test_the_pages_lead_to_one_another(look):
    """From the index to a report, and from there to the other notebooks."""
    page, *_ = look("index.html", 1280)
    page.get_by_role("link", name="1").first.click()
    assert page.url.endswith("/wine/1/03_evaluate.html")
    page.get_by_role("link", name="Train").click()
    assert page.url.endswith("/wine/1/02_train.html")


def test_a_script_would_not_run(look, folder):
    """The policy holds even if markup got through: a script that stands in the page does nothing."""
    original = (folder / "wine" / "1" / "01_explore.html").read_text()
    evil = "<script>document.title = 'run'</script><img src=x onerror=\"document.title = 'run'\"></main>"
    (folder / "evil.html").write_text(original.replace("</main>", evil))
    page, complaints, _ = look("evil.html", 1280)
    assert page.title().startswith("Explore")
    assert len([text for text in complaints if "Content Security Policy" in text]) >= 2

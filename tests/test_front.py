"""What a browser makes of the front page, on the real server: forms, answers, tables, and names that mean harm."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.request import Request, urlopen

import axe_core_python
import numpy as np
import pandas as pd
import pytest
from conftest import WINE, changed, evaluate, train
from hypothesis import given, settings
from hypothesis import strategies as st
from outside import outside
from playwright.sync_api import expect

from chaos.serving import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

WIDTHS = [1280, 390]
AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
REFUSED = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d")

SCRIPT, TEMPLATE = "<script>document.title = 'run'</script>", "{{ 7 * 7 }}{% raw %}`${document.title = 'run'}`"
IMAGE, TURNED = "<img src=x onerror=\"document.title = 'run'\">", "evil\u202egnp.exe"
LONG = "Donaudampfschifffahrtsgesellschaft" * 8
HOSTILE = [SCRIPT, TEMPLATE, IMAGE, TURNED, LONG, "__proto__", "constructor", 'it\'s "quoted" \\ $HOME `id` !!', "=1+1"]


class House(NamedTuple):
    """A running server, and how the browser gets there."""

    address: str
    browser: Browser


def hostile_table(folder: Path) -> Path:
    """Write a table with every kind of feature, each also with gaps, whose names and values mean harm, and its card."""
    draw, rows = np.random.default_rng(1), 160
    numbers = pd.DataFrame({name: draw.normal(10, 3, rows).round(2) for name in HOSTILE})
    menu = [*HOSTILE[:5], "other…", "missing", " spaced "]
    table = numbers.assign(
        category=draw.choice(menu, rows),
        gaps=np.where(np.arange(rows) % 9 == 0, None, draw.choice(["north", "south"], rows)),
        truth=draw.choice(["true", "false"], rows),
        doubt=np.where(np.arange(rows) % 7 == 0, None, draw.choice(["true", "false"], rows)),
        day=pd.to_datetime("2024-01-01") + pd.to_timedelta(draw.integers(0, 300, rows), "D"),
        moment=(pd.to_datetime("2024-01-01") + pd.to_timedelta(draw.integers(0, 9999, rows) * 30, "min")).strftime(
            "%Y-%m-%dT%H:%M"
        ),
    )
    table.loc[::8, TURNED] = None
    table[IMAGE + LONG] = numbers.sum(axis=1) + (table["truth"] == "true") * 20
    path = folder / "hostile.csv"
    table.to_csv(path, index=False)
    told = [
        f"[columns.{json.dumps(name)}]\nunit = {json.dumps(name)}\nmeaning = {json.dumps(name)}\n" for name in HOSTILE
    ]
    path.with_suffix(".toml").write_text(
        f'title = "Hostile"\ntarget = {json.dumps(IMAGE + LONG)}\ntask = "regression"\n\n' + "\n".join(told),
        encoding="utf-8",
    )
    return path


def wide_table(folder: Path) -> Path:
    """Write a table with 300 features and 50 classes."""
    draw = np.random.default_rng(2)
    classes = np.repeat([f"class {number:02d}" for number in range(50)], 8)
    table = pd.DataFrame({f"feature {number}": draw.normal(0, 1, 400).round(3) for number in range(300)})
    table["feature 0"] += np.repeat(np.arange(50), 8)
    path = folder / "wide.csv"
    table.assign(kind=classes).to_csv(path, index=False)
    return path


def renamed(artifacts: Path, name: str, **changes: dict[str, Any]) -> None:
    """Put `wine` into the artifacts a second time, under another name and with changes to some of its files."""
    changed(shutil.copytree(artifacts / "wine", artifacts / name) / "1", **changes, manifest={"model": name})


@pytest.fixture(scope="module")
def house(tmp_path_factory, browser, wine_artifacts, houses_artifacts) -> Iterator[House]:
    """The server on models with plain names, with names that mean harm, and with parts missing."""
    folder = tmp_path_factory.mktemp("house")
    artifacts = shutil.copytree(wine_artifacts, folder / "artifacts")
    shutil.copytree(houses_artifacts, artifacts, dirs_exist_ok=True)
    evaluate(train(artifacts, hostile_table(folder), estimator="linear_regression"))
    renamed(artifacts, "uncalibrated", metrics={"calibration": None})
    renamed(artifacts, "few", metrics={"calibration": {"rows": 4, "scores": [0.1, 0.2, 0.3, 0.4]}})
    renamed(artifacts, "unexplained", golden={"background": []})
    with serving(artifacts, folder / "reports") as server:
        yield House(server.address, browser)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory, browser, wine_artifacts) -> Iterator[House]:
    """The server on twenty models, of which one has 300 features and 50 classes."""
    folder = tmp_path_factory.mktemp("crowd")
    artifacts = shutil.copytree(wine_artifacts, folder / "artifacts")
    for number in range(18):
        renamed(artifacts, f"wine-{number}")
    evaluate(train(artifacts, wide_table(folder), target="kind"))
    with serving(artifacts, folder / "reports") as server:
        yield House(server.address, browser)


@pytest.fixture
def look() -> Iterator[Callable[..., Page]]:
    """The function that opens the front page; whatever was complained of or asked for elsewhere fails the test."""
    contexts, complaints, asked = [], [], []

    def open_page(house: House, width: int = 1280, **given: Any) -> Page:
        context = house.browser.new_context(viewport={"width": width, "height": 900}, **given)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append((house.address, request.url)))
        page.goto(house.address)
        page.locator(".prediction").first.wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [text for text in complaints if not REFUSED.match(text)] == []
    assert all(url.startswith((address, "data:", "blob:")) for address, url in asked)


def model(page: Page, name: str) -> Locator:
    """Return the section of a model, its form open and answered."""
    section = page.locator(f"[data-model={name}]")
    if not section.locator(".trial").count():
        section.get_by_text("Try it", exact=True).click()
    section.locator(".prediction").wait_for()
    return section


def field(section: Locator, name: str) -> Locator:
    """Return the input of a feature, by its label."""
    label = section.locator("label").filter(
        has=section.page.locator("bdi", has_text=re.compile(f"^{re.escape(name)}$"))
    )
    return section.locator(f"[id='{label.get_attribute('for')}']")


def answer(section: Locator) -> str:
    """Return the prediction that is shown, with all its digits."""
    return section.locator(".prediction").get_attribute("value")


def settle(page: Page) -> None:
    """Wait until every form that is open has all of its answer."""
    expect(page.locator(".trial [aria-busy]")).to_have_count(0)


def unfold(section: Locator) -> None:
    """Open everything that is folded, what opens within it too."""
    while section.locator("details:not([open]) > summary:visible").count():
        section.locator("details:not([open]) > summary:visible").first.click()
    expect(section.locator("details > summary:only-child")).to_have_count(0)


def ask(house: House, name: str, row: dict[str, Any], query: str = "", route: str = "predict") -> dict[str, Any]:
    """Ask the service itself for one row."""
    body = json.dumps({"instances": [row]}).encode()
    request = Request(f"{house.address}/models/{name}/{route}{query}", body, {"Content-Type": "application/json"})
    with urlopen(request) as reply:
        return json.load(reply)


def example(house: House, name: str) -> dict[str, Any]:
    """Return the example row of a model."""
    with urlopen(f"{house.address}/models/{name}") as reply:
        return {feature["name"]: feature["example"] for feature in json.load(reply)["features"]}


def fits(page: Page) -> None:
    """Fail if the page scrolls sideways."""
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def violations(page: Page, part: str = "html") -> list[str]:
    """Return what axe finds in a part of the page, with the element it found it in."""
    page.evaluate(AXE)
    found = page.evaluate("part => axe.run(part).then(found => found.violations)", part)
    return [
        f"{one['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:200]}"
        for one in found
        for node in one["nodes"]
    ]


def test_the_example_is_answered_at_once(house, look):
    """The first model's form is open, filled in and answered, with the number that the service gives."""
    page = look(house)
    section = page.locator("[data-model=wine]")
    expected = ask(house, "wine", example(house, "wine"), "?include=probabilities,interval")
    assert answer(section) == str(expected["predictions"][0])
    settle(page)
    shares = dict(
        zip(*[iter(section.locator(".bars").first.locator("td:not(:nth-child(2))").all_inner_texts())] * 2, strict=True)
    )
    assert set(shares) == set(expected["probabilities"][0])
    assert "In 90 % of such cases the true cultivar is" in section.inner_text()


def test_every_feature_has_a_labelled_input(house, look):
    """Label, unit, range and meaning belong to the input, for a person and for a screen reader."""
    section = model(look(house), "wine")
    alcohol = section.get_by_label("alcohol")
    assert alcohol.input_value() == "14.23" and alcohol.get_attribute("type") == "number"
    hint = section.locator(f"#{alcohol.get_attribute('aria-describedby')}").inner_text()
    assert "11.03 to 14.83" in hint and "Share of alcohol" in hint
    assert "% vol" in section.locator("label", has_text="alcohol").first.inner_text()
    assert section.locator("form :is(input, select)").count() == 13


def test_a_change_is_answered(house, look):
    """Another value gives another prediction, without a click."""
    page = look(house)
    section = model(page, "prices")
    before = answer(section)
    field(section, "living area (m²)").fill("200")
    field(section, "living area (m²)").blur()
    section.locator(f".prediction:not([value='{before}'])").wait_for()
    row = example(house, "prices") | {"living area (m²)": 200}
    assert float(answer(section)) == pytest.approx(ask(house, "prices", row)["predictions"][0], rel=1e-6)
    settle(page)
    low, high = ask(house, "prices", row, "?include=interval")["interval"][0]
    numbers = re.search(r"lies between ([\d.,]+) and ([\d.,]+)\.", section.inner_text())
    assert [float(number.replace(",", "")) for number in numbers.groups()] == pytest.approx([low, high], rel=1e-4)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_covers_the_form(house, look, width):
    """However far the page is scrolled, what is seen at the place of a field is that field; on a phone the prediction
    stands below the button that asks for it.
    """
    page = look(house, width)
    section = model(page, "wine")
    expect(section.locator(".prediction")).to_be_visible()
    covered = section.evaluate(
        """one => [...one.querySelectorAll("form input, form button")].filter(part => {
            scrollTo(0, part.getBoundingClientRect().top + scrollY - 2);
            const { left, top, width } = part.getBoundingClientRect();
            return document.elementFromPoint(left + width / 2, top + 4) !== part;
        }).map(part => part.outerHTML)"""
    )
    assert covered == []
    button, told = (section.locator(part).bounding_box() for part in ("form > button", ".headline"))
    assert (told["y"] >= button["y"] + button["height"]) is (width == 390)


@pytest.mark.parametrize("width", WIDTHS)
def test_wrong_values_are_named_at_their_fields(house, look, width):
    """Each wrong field says why, is described by it, and the first one has the focus; the old answer is gone."""
    page = look(house, width)
    section = model(page, "wine")
    for name in ("ash", "proline"):
        field(section, name).fill("")
    section.get_by_role("button", name="Predict", exact=True).click()
    section.locator(".refusal").wait_for()
    assert section.locator(".refusal").inner_text() == "No prediction: 2 fields need another value."
    ash = field(section, "ash")
    expect(ash).to_be_focused()
    assert ash.get_attribute("aria-invalid") == "true"
    told = section.locator(f"#{ash.get_attribute('aria-describedby').split()[0]}")
    assert told.is_visible() and "must not be missing" in told.inner_text()
    assert section.locator(".prediction, .bars").count() == 0
    ash.fill("2.4")
    field(section, "proline").fill("1065")
    section.get_by_role("button", name="Predict", exact=True).click()
    section.locator(".prediction").wait_for()
    assert section.locator("[aria-invalid]").count() == 0
    assert section.locator(".error:visible").count() == 0


def test_what_is_no_number_is_told_before_it_is_sent(house, look):
    """A browser hides what was typed into a number that is none; the page says so instead of sending nothing."""
    page = look(house)
    section = model(page, "wine")
    field(section, "hue").focus()
    page.keyboard.type("--1e")
    page.keyboard.press("Enter")
    section.locator(".refusal").wait_for()
    assert section.locator("label:has-text('hue') ~ div .error").inner_text().endswith("must be a number")


def test_warnings_are_shown(house, look):
    """A number outside of what training saw and an unseen category are answered with a warning."""
    page = look(house)
    section = model(page, "houses")
    field(section, "living area (m²)").fill("9000")
    field(section, "<script>alert(1)</script>").select_option("other…")
    section.get_by_label("another value of <script>alert(1)</script>").fill(SCRIPT)
    section.get_by_role("button", name="Predict", exact=True).click()
    section.locator(".warnings li").nth(1).wait_for()
    told = section.locator(".warnings").inner_text()
    assert "is outside the range seen in training" in told and f"{SCRIPT} was never seen in training" in told


def test_every_kind_can_be_asked_for(house, look):
    """Truth values, days, moments and categories go to the service as they are chosen, gaps included."""
    page = look(house)
    section = model(page, "hostile")
    sent = []
    page.on(
        "request", lambda request: sent.append(request.post_data_json) if request.url.endswith("interval") else None
    )
    field(section, "truth").select_option("true")
    field(section, "doubt").select_option("missing")
    field(section, "gaps").select_option("missing")
    field(section, "category").select_option(label="missing")
    field(section, "day").fill("2024-02-29")
    field(section, "moment").fill("2024-02-29T10:30")
    field(section, TURNED).fill("")
    field(section, "__proto__").fill("7.5")
    section.get_by_role("button", name="Predict", exact=True).click()
    settle(page)
    row = sent[-1]["instances"][0]
    wanted = {"truth": True, "doubt": None, "gaps": None, "category": "missing", "day": "2024-02-29"}
    wanted |= {"moment": "2024-02-29T10:30", TURNED: None, "__proto__": 7.5}
    assert {name: row[name] for name in wanted} == wanted
    assert float(answer(section)) == pytest.approx(ask(house, "hostile", row)["predictions"][0], rel=1e-6)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["hostile", "houses", "prices"])
def test_hostile_names_are_only_text(house, look, width, name):
    """Nothing in a name, unit, meaning, category or value runs or widens the page, wherever it is shown."""
    page = look(house, width)
    section = model(page, name)
    unfold(section)
    section.get_by_role("button", name="Put in the example").click()
    section.get_by_role("button", name="Predict rows").click()
    section.locator(".rows table, .rows [role=status]:has-text('No')").first.wait_for()
    settle(page)
    assert page.title() == "Cellar"
    assert page.locator("main script, main img").count() == 0
    fits(page)
    beyond = section.locator("*").evaluate_all(
        "all => all.filter(one => one.checkVisibility() && !one.closest('.scroll, pre, .bars caption, .bars thead')"
        " && one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML.slice(0, 100))"
    )
    assert beyond == []


@pytest.mark.parametrize("name", ["wine", "houses", "prices", "hostile"])
def test_the_shown_programs_give_the_shown_prediction(house, look, name):
    """The curl command in a real shell and the Python program in a real interpreter print what the page shows."""
    section = model(look(house), name)
    section.get_by_text("The same with curl or Python").click()
    section.get_by_text("Copy Python").wait_for()
    shell, program = [one.text_content() for one in section.locator("pre code").all()]
    outside("curl")
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True)
    assert str(json.loads(done.stdout)["predictions"][0]) == answer(section)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert str(ast.literal_eval(done.stdout)["predictions"][0]) == answer(section)
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", shell + program)


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = TEXTS | st.booleans() | st.none() | st.floats(-1e15, 1e15) | st.integers(-(2**53), 2**53)


@pytest.fixture(scope="module")
def module(house: House) -> Iterator[Callable[[str, str, Any], Any]]:
    """The function that calls a function of one of the page's own modules, in the browser."""
    page = house.browser.new_page()
    page.goto(house.address)
    call = "([file, name, given]) => import(`/static/${file}.js`).then(all => all[name](...given))"
    yield lambda file, name, *given: page.evaluate(call, [file, name, list(given)])
    page.close()


@settings(max_examples=60, deadline=None)
@given(row=st.dictionaries(TEXTS.filter(lambda name: name != "__proto__"), VALUES, min_size=1, max_size=5))
def test_programs_hold_any_row(module, row):
    """Whatever names and values hold, a shell and Python read from the shown programs the row that was meant."""
    words = shlex.split(module("code", "curl", "http://localhost/x?include=a,b", row))
    assert words[1] == "http://localhost/x?include=a,b" and json.loads(words[-1]) == {"instances": [row]}
    program = ast.parse(module("code", "python", "http://localhost/x", row))
    assigned = next(node for node in program.body if isinstance(node, ast.Assign))
    assert ast.literal_eval(assigned.value) == row


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8) | st.sampled_from(
    ['"', ",\n", "\t", ";"]
)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1)))
def test_tables_survive_the_page(module, lines):
    """What the page writes as CSV it reads back, and so does Python."""
    content = module("csv", "write", lines)
    assert module("csv", "parse", content) == lines
    assert list(csv.reader(io.StringIO(content, newline=""), strict=True)) == lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\tb\n1\t2\n", [["a", "b"], ["1", "2"]]),
        ("a;b\r\n1,5;2", [["a", "b"], ["1,5", "2"]]),
        ("\ufeffa,b\r1,\r\r2,3", [["a", "b"], ["1", ""], ["2", "3"]]),
        ('"a\tb",c\n1,"2\n3"', [["a\tb", "c"], ["1", "2\n3"]]),
        ("", []),
    ],
)
def test_tables_of_other_programs_are_read(module, text, lines):
    """Tabs, semicolons, a byte order mark, old line ends, gaps and empty lines are understood."""
    assert module("csv", "parse", text) == lines


def upload(section: Locator, name: str, content: str | bytes) -> None:
    """Choose a file for the table of a model, and wait for what comes of it."""
    if not section.locator(".rows").count():
        section.get_by_text("Predict a table", exact=True).click()
    data = content if isinstance(content, bytes) else content.encode()
    section.locator("[type=file]").set_input_files({"name": name, "mimeType": "text/csv", "buffer": data})
    section.locator(".rows [role=status]:text-matches('^(No|[0-9])')").wait_for()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_file_is_predicted_and_kept(house, look, width):
    """Every row of a CSV gets the prediction that it gets alone; the first are shown, all are in the download."""
    page = look(house, width)
    section = model(page, "wine")
    table = pd.read_csv(WINE).drop(columns="cultivar")
    upload(section, "wine.csv", table.to_csv(index=False))
    assert section.locator(".rows [role=status]").inner_text() == f"{len(table)} rows predicted by wine version 1."
    assert section.locator(".rows tbody tr").count() == 20
    with page.expect_download() as download:
        section.get_by_role("link", name="Download all as CSV").click()
    kept = pd.read_csv(download.value.path())
    body = json.dumps({"instances": table.to_dict("records")}).encode()
    with urlopen(Request(f"{house.address}/models/wine/predict", body, {"Content-Type": "application/json"})) as reply:
        assert kept["prediction"].tolist() == json.load(reply)["predictions"]
    pd.testing.assert_frame_equal(kept.drop(columns="prediction"), table)
    shown = section.locator(".rows tbody tr td:nth-child(2)").all_inner_texts()
    assert shown == [str(value) for value in kept["prediction"][:20]]
    fits(page)


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_rows_are_pasted(house, look, separator):
    """What a spreadsheet puts on the clipboard is taken as a CSV is, texts with commas and quotes included."""
    section = model(look(house), "prices")
    table = pd.DataFrame([example(house, "prices"), example(house, "prices") | {"living area (m²)": 99.5}])
    section.get_by_text("Predict a table", exact=True).click()
    section.locator("textarea").fill(table.to_csv(index=False, sep=separator))
    section.get_by_role("button", name="Predict rows").click()
    section.get_by_text("2 rows predicted by prices version 1.").wait_for()
    expected = ask(house, "prices", table.to_dict("records")[1])["predictions"][0]
    shown = section.locator(".rows tbody tr:nth-child(2) td:nth-child(2)").inner_text()
    assert float(shown.replace(",", "")) == pytest.approx(expected, rel=1e-5)


def test_a_file_is_dropped(house, look):
    """A file that is dropped where rows are pasted is predicted."""
    page = look(house)
    section = model(page, "few")
    section.get_by_text("Predict a table", exact=True).click()
    section.locator("textarea").wait_for()
    row = example(house, "few")
    page.evaluate(
        """([place, text]) => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([text], "few.csv"));
            document.querySelector(place).dispatchEvent(new DragEvent("drop", {dataTransfer, cancelable: true}));
        }""",
        ["[data-model=few] textarea", pd.DataFrame([row] * 3).to_csv(index=False)],
    )
    section.get_by_text("3 rows predicted by few version 1.").wait_for()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("\n14.23,", "\nhigh,"), "Row 1, column alcohol must be a number, got 'high'."),
        (lambda text: text.replace("proline", "<b>prolin"), "column <b>prolin"),
        (lambda text: text.splitlines()[0], "there is no row below the names of the fields"),
        (lambda text: text + '"1', "has a quote that is not closed"),
        (lambda text: "", "there is no row below the names of the fields"),
        (lambda text: (text + "é").encode("latin-1"), "wine.csv is not a text in UTF-8"),
    ],
    ids=["value", "name", "no rows", "quote", "nothing", "encoding"],
)
def test_a_wrong_table_is_told_by_row_and_column(house, look, change, told):
    """The page says which row and column is wrong, or what the table lacks, and shows no predictions."""
    page = look(house)
    section = model(page, "wine")
    upload(section, "wine.csv", change(pd.read_csv(WINE).drop(columns="cultivar").head(5).to_csv(index=False)))
    assert section.locator(".rows [role=status]").inner_text().startswith("No predictions: ")
    assert told in section.locator(".rows").inner_text()
    assert section.locator(".rows table").count() == 0


@pytest.mark.parametrize(("name", "task"), [("wine", "classification"), ("prices", "regression")])
def test_contributions_lead_from_the_base_to_the_prediction(house, look, name, task):
    """The chart holds what the service explains, the largest first, and its sum is what was predicted."""
    page = look(house)
    section = model(page, name)
    settle(page)
    row = example(house, name)
    explained = ask(house, name, row, route="explain")["explanations"][0]
    told = section.locator(".part", has=page.get_by_role("heading", name="Contributions"))
    base, total = (float(text.replace(",", "")) for text in told.locator(".sum b").all_inner_texts()[-2:])
    assert base == pytest.approx(explained["base"], rel=1e-4, abs=1e-4)
    reply = ask(house, name, row, "?include=probabilities" if task == "classification" else "")
    output = max(reply["probabilities"][0].values()) if task == "classification" else reply["predictions"][0]
    assert total == pytest.approx(output, rel=1e-4, abs=1e-4)
    unfold(told)
    shown = [[cell.inner_text() for cell in line.locator("td").all()] for line in told.locator("tbody tr").all()]
    largest = sorted(explained["contributions"].items(), key=lambda one: -abs(one[1]))
    assert all(line[0].startswith(feature) for line, (feature, _) in zip(shown, largest, strict=True))
    for (_, _, text), (_, value) in zip(shown, largest, strict=True):
        assert float(text.replace("\u2212", "-").replace(",", "")) == pytest.approx(value, rel=1e-2)


def test_without_a_calibration_there_is_no_interval(house, look):
    """The page says so in a line and shows the rest."""
    section = model(look(house), "uncalibrated")
    assert "This version was not calibrated, so it gives no interval." in section.inner_text()
    assert section.locator(".bars").first.is_visible()


def test_without_an_explanation_the_rest_is_shown(house, look):
    """A version that keeps no rows to explain by says so once, in a line, and is asked no more."""
    page = look(house)
    section = model(page, "unexplained")
    settle(page)
    assert "There are none: unexplained version 1 keeps no rows to explain by" in section.inner_text()
    assert section.locator(".bars").first.is_visible()
    asked = []
    page.on("request", lambda request: asked.append(request.url.split("/")[-1].split("?")[0]))
    section.get_by_role("button", name="Predict", exact=True).click()
    settle(page)
    assert asked == ["predict"] and "There are none: unexplained" in section.inner_text()


def test_a_coverage_that_cannot_be_promised_is_not_asked_for(house, look):
    """Four calibration rows promise four fifths, and that is what the page says."""
    page = look(house)
    section = model(page, "few")
    settle(page)
    assert "In 80 % of such cases" in section.inner_text()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_stays_usable_with_much_of_everything(crowd, look, width):
    """Twenty models, 300 features and 50 classes: forms are made when they are opened, and lists are searched."""
    page = look(crowd, width)
    assert page.locator("[data-model]").count() == 20 and page.locator(".trial").count() == 1
    page.get_by_label("Find one of 20 models").fill("WIDE")
    expect(page.locator("[data-model]:visible")).to_have_count(1)
    section = model(page, "wide")
    assert section.locator(".bars").first.locator("tbody tr").count() < 10
    assert "may be any of the 50 classes" in section.inner_text()
    section.get_by_text("44 smaller").click()
    expect(section.locator(".bars").nth(1).locator("tbody tr")).to_have_count(44)
    section.get_by_label("Find one of 300 fields").fill("feature 299")
    expect(section.locator(".field:visible")).to_have_count(1)
    fits(page)


def test_a_wrong_field_that_was_hidden_is_shown(crowd, look):
    """What the search hid comes back if it has to be corrected."""
    page = look(crowd)
    section = model(page, "wide")
    field(section, "feature 7").fill("")
    section.get_by_label("Find one of 300 fields").fill("feature 299")
    section.get_by_role("button", name="Predict", exact=True).click()
    section.locator(".refusal").wait_for()
    expect(field(section, "feature 7")).to_be_focused()


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(house, look, width, scheme):
    """Neither at first, nor with everything open and answered and a table predicted, nor where both are refused."""
    page = look(house, width, color_scheme=scheme)
    settle(page)
    assert violations(page) == []
    section = model(page, "hostile")
    unfold(section)
    settle(page)
    row = example(house, "hostile")
    upload(section, "rows.csv", pd.DataFrame([row]).to_csv(index=False))
    assert section.locator(".rows table").count() == 1
    assert violations(page, "[data-model=hostile]") == []
    field(section, "constructor").fill("")
    section.get_by_role("button", name="Predict", exact=True).click()
    section.locator(".refusal").wait_for()
    upload(section, "rows.csv", pd.DataFrame([row | {"constructor": None}]).to_csv(index=False))
    section.locator(".rows .warnings li").wait_for()
    assert violations(page, "[data-model=hostile]") == []


def test_the_keyboard_is_enough(house, look):
    """By tabs, spaces and keys alone: open a model, change a field, predict, copy; every stop is visible."""
    page = look(house, permissions=["clipboard-read", "clipboard-write"])
    focused = "document.activeElement"

    def tab_to(condition: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            page.evaluate(f"if (!{focused}.matches(':focus-visible')) throw new Error({focused}.outerHTML)")
            if page.evaluate(f"Boolean({condition})"):
                return
        raise AssertionError(f"no tab leads to {condition}")

    tab_to(f"{focused}.matches('[data-model=few] summary')")
    page.keyboard.press("Space")
    section = page.locator("[data-model=few]")
    section.locator(".prediction").wait_for()
    settle(page)
    tab_to(f"{focused}.labels?.[0].textContent.startsWith('alcohol')")
    page.keyboard.press("Control+A")
    page.keyboard.type("12.0")
    page.keyboard.press("Enter")
    settle(page)
    row = example(house, "few") | {"alcohol": 12.0}
    assert answer(section) == str(ask(house, "few", row)["predictions"][0])
    tab_to(f"{focused}.textContent === 'The same with curl or Python'")
    page.keyboard.press("Enter")
    section.get_by_text("Copy curl").wait_for()
    tab_to(f"{focused}.textContent === 'Copy curl'")
    page.keyboard.press("Enter")
    section.get_by_text("Copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == section.locator("pre code").first.text_content()


@pytest.mark.parametrize("width", WIDTHS)
def test_targets_are_large_enough(house, look, width):
    """Whatever is clicked is at least 24 pixels high and wide, but for links within a sentence."""
    page = look(house, width)
    section = model(page, "hostile")
    sizes = section.locator("input, select, button, summary, textarea").evaluate_all(
        "all => all.filter(one => one.checkVisibility()).map(one => [one.offsetWidth, one.offsetHeight])"
    )
    assert len(sizes) > 15 and all(wide >= 24 and high >= 24 for wide, high in sizes)


def test_the_page_tells_enough_without_scripts(house):
    """Models, metrics, fields and a command stand in the page itself."""
    context = house.browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(house.address)
    section = page.locator("[data-model=wine]")
    assert "accuracy" in section.inner_text() and "curl http" in section.inner_text()
    section.get_by_text("Fields", exact=True).click()
    assert "Share of alcohol in the wine." in section.inner_text()
    context.close()


def test_a_script_in_the_page_would_not_run(house):
    """The policy holds even if markup got through: neither a script nor a handler in the page does anything."""
    page = house.browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.route(house.address + "/", _with_harm)
    page.goto(house.address)
    page.locator(".prediction").first.wait_for()
    assert page.title() == "Cellar"
    assert len([text for text in complaints if "Content Security Policy" in text]) >= 2
    page.close()


def _with_harm(route: Any) -> None:
    reply = route.fetch()
    route.fulfill(response=reply, body=reply.text().replace("</main>", f"{SCRIPT}{IMAGE}</main>"))

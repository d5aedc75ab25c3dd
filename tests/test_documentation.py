from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient

from chaos.serving import Served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("width", [1280, 390])
def test_a_person_reads_and_tries_the_interface(browser: Browser, every_server: Served, width: int):
    """Swagger UI shows every operation and sends the example, asks nobody else, and nothing goes over the edge."""
    home = every_server.address
    page = browser.new_page(viewport={"width": width, "height": 900})
    asked: list[str] = []
    told: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.goto(f"{home}/docs")
    page.wait_for_selector(".opblock")
    assert page.locator(".opblock").count() > 40
    prediction = page.locator("#operations-houses-predict_houses")
    prediction.locator(".opblock-summary-control").click()
    prediction.locator(".try-out__btn").click()
    prediction.locator(".execute").click()
    answer = prediction.locator(".live-responses-table .highlight-code").first
    answer.wait_for()
    assert '"predictions"' in answer.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert f"{home}/models/houses/predict" in asked
    assert {urlsplit(url).netloc for url in asked if not url.startswith("data:")} == {urlsplit(home).netloc}
    assert told == []
    page.close()


def test_the_page_allows_nothing_from_elsewhere(client: FlaskClient):
    """Scripts, styles and requests come from and go to the service alone, and none stand within the page."""
    reply = client.get("/docs")
    policy = dict(part.strip().split(" ", 1) for part in reply.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert {policy[f"{kind}-src"] for kind in ("script", "style", "connect")} == {"'self'"}
    assert "unsafe" not in str(policy) and "http" not in str(policy)
    assert "http" not in reply.text


@pytest.mark.parametrize("file", ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"])
def test_files_of_the_page_are_sent(client: FlaskClient, file: str):
    """What the page asks for comes from Swagger UI's package."""
    assert client.get(f"/docs/{file}", buffered=True).status_code == 200


@pytest.mark.parametrize("file", ["nothing.js", "..%2f__init__.py", "%2e%2e/__init__.py", "%00", ".."])
def test_other_files_are_not_sent(client: FlaskClient, file: str):
    """Nothing beside them is."""
    assert client.get(f"/docs/{file}").status_code == 404


def test_the_page_costs_nothing_at_the_start():
    """A service that starts has not imported Swagger UI's package."""
    program = "import sys, service.app; service.app.create_app(); print('flask_swagger_ui' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

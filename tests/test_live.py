from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from service import bundle
from service.app import create_app
from service.errors import NoModelError, NotFoundError
from service.live import KEPT, Live
from service.registry import Registry


@pytest.fixture
def registry(artifacts: Path) -> Registry:
    """`wine` in versions 1 and 2, both promoted, so that 2 is champion."""
    shutil.copytree(artifacts / "wine" / "1", artifacts / "wine" / "2")
    registry = Registry(artifacts)
    registry.promote("wine", 2, "second")
    return registry


@pytest.fixture
def start(registry: Registry, tmp_path: Path) -> Callable[[], FlaskClient]:
    """The function that starts the service on what the registry holds by then."""
    return lambda: create_app({"artifacts": registry.folder, "reports": tmp_path}).test_client()


def damage(registry: Registry, version: int) -> None:
    """Change a byte of a version's model."""
    path = registry.place("wine", version) / bundle.MODEL
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def ask(client: FlaskClient, address: str = "/predict") -> Any:
    """Ask for a prediction of no rows, which tells who answers."""
    return client.post(address, json={"instances": []})


def test_champion_answers(start: Callable[[], FlaskClient]):
    """The promoted version answers, and an earlier one by its number."""
    client = start()
    assert ask(client).json["version"] == 2
    assert ask(client, "/models/wine/versions/1/predict").json["version"] == 1


def test_damaged_champion_gives_way_to_the_earlier_one(
    registry: Registry, start: Callable[[], FlaskClient], caplog: pytest.LogCaptureFixture
):
    """Where the champion is damaged, the earlier one answers, and health, models and the log tell why."""
    damage(registry, 2)
    with caplog.at_level(logging.ERROR, "cellar"):
        client = start()
    assert ask(client).json["version"] == 1
    ready = client.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json["models"] == ["wine"]
    for refused in (ready.json["refused"], client.get("/models").json["refused"]):
        assert refused["wine"].startswith("version 2 was refused: wine/2/model.onnx is damaged")
    assert [model["version"] for model in client.get("/models").json["models"]] == [1]
    assert "version 2 was refused" in caplog.text
    versions = client.get("/models/wine/versions").json
    assert (versions["champion"], versions["serving"], versions["versions"]) == (2, 1, [1, 2])


def test_damaged_version_by_its_number_is_the_services_fault(registry: Registry, start: Callable[[], FlaskClient]):
    """Who asks for a damaged version by number gets 503 and the reason, without the machine's folders."""
    damage(registry, 1)
    reply = ask(start(), "/models/wine/versions/1/predict")
    assert reply.status_code == 503
    assert reply.json["detail"].startswith("wine/1/model.onnx is damaged")
    assert str(registry.folder) not in reply.text


def test_no_sound_version_is_not_ready(registry: Registry, start: Callable[[], FlaskClient]):
    """Where every champion is damaged the service says why, is not ready, and tells nothing of the machine."""
    damage(registry, 1)
    damage(registry, 2)
    client = start()
    for reply in (ask(client), client.get("/health/ready"), client.get("/models/wine")):
        assert reply.status_code == 503
        assert "was refused: wine/1/model.onnx is damaged" in reply.json["detail"]
        assert str(registry.folder) not in reply.text
    page = client.get("/", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "is damaged" in page.text
    assert str(registry.folder) not in page.text


def test_one_damaged_model_leaves_the_others(
    registry: Registry, houses_artifacts: Path, start: Callable[[], FlaskClient]
):
    """A model that cannot be served does not take the others with it."""
    shutil.copytree(houses_artifacts / "houses", registry.folder / "houses")
    damage(registry, 1)
    damage(registry, 2)
    client = start()
    assert client.get("/health/ready").json["models"] == ["houses"]
    assert ask(client, "/models/houses/predict").status_code == 200
    assert ask(client, "/models/wine/predict").status_code == 503


@pytest.mark.parametrize("forged", [False, True])
def test_candidate_never_answers(registry: Registry, start: Callable[[], FlaskClient], forged: bool):
    """A version without metrics is not served, neither by number nor by a forged champion file."""
    source = bundle.read(registry.place("wine", 1))
    place = bundle.write_candidate(registry.folder, source.manifest, source.golden, source.model)
    assert place.name == "3"
    if forged:
        (registry.home("wine") / "champion").write_text("3\n")
    client = start()
    assert ask(client).json["version"] == 2
    assert ask(client, "/models/wine/versions/3/predict").status_code == 404
    assert client.get("/models/wine/versions").json["versions"] == [1, 2]


def test_published_version_that_was_never_promoted_does_not_answer(registry: Registry):
    """Without a champion there is no model to answer, and the reason says so."""
    for name in ("champion", "history.jsonl"):
        (registry.home("wine") / name).unlink()
    live = Live(registry)
    live.load()
    with pytest.raises(NoModelError, match="none of its versions was promoted"):
        live.get("wine")
    assert live.get("wine", 2).version == 2


def test_unknown_model_is_answered_with_those_there_are(registry: Registry):
    """A model's name that does not exist is not found, and the message lists the names that do."""
    live = Live(registry)
    live.load()
    with pytest.raises(NotFoundError, match=r"no model is called 'beer' \(models: wine\)"):
        live.get("beer")


def test_every_version_can_be_asked_for(registry: Registry):
    """Many versions asked for by number, more than are kept loaded, all answer, again and again."""
    numbers = range(3, KEPT + 6)
    for number in numbers:
        shutil.copytree(registry.place("wine", 1), registry.place("wine", number))
    live = Live(registry)
    live.load()
    for _ in range(2):
        assert [live.get("wine", number).version for number in numbers] == list(numbers)
    assert live.get("wine", numbers[-1]) is live.get("wine", numbers[-1])

from __future__ import annotations

import gc
import logging
import os
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from flask.testing import FlaskClient

from chaos.serving import serving
from service import bundle, publication
from service.app import create_app
from service.errors import BundleError, LoadingError, NoModelError, NotFoundError
from service.live import KEPT, Live
from service.loading import untried
from service.model import Model
from service.registry import Registry
from service.trial import PATIENCE, Tried, trial
from tests.conftest import changed, mark


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


def test_a_lost_pointer_is_told_while_the_last_version_answers(registry: Registry, start: Callable[[], FlaskClient]):
    """Without a champion's number the latest champion answers, after a restart too, and health says what is missing."""
    (registry.home("wine") / "champion").write_bytes(b"")
    client = start()
    assert ask(client).json["version"] == 2
    assert client.get("/health/ready").json["refused"]["wine"].startswith("wine/champion is missing or names no")


def test_a_folder_of_models_that_cannot_be_read_is_told(registry: Registry, start: Callable[[], FlaskClient]):
    """What is served is served on when the folder of all models is no folder any more, and health says so."""
    live = Live(registry)
    live.look()
    registry.folder.rename(registry.folder.with_name("moved"))
    registry.folder.touch()
    live.look()
    assert live.get("wine").version == 2
    assert live.refused == {"artifacts/": "artifacts cannot be read (Not a directory): mend that and try again"}


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
    place = publication.write_candidate(registry.folder, source.manifest, source.golden, source.model)
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
    live.look()
    with pytest.raises(NoModelError, match="none of its versions was promoted"):
        live.get("wine")
    assert live.get("wine", 2).version == 2


def test_unknown_model_is_answered_with_those_there_are(registry: Registry):
    """A model's name that does not exist is not found, and the message lists the names that do."""
    live = Live(registry)
    live.look()
    with pytest.raises(NotFoundError, match="no model is called 'beer'; the models are wine"):
        live.get("beer")


def test_every_version_can_be_asked_for(registry: Registry):
    """Many versions asked for by number, more than are kept loaded, all answer, again and again."""
    numbers = range(3, KEPT + 6)
    for number in numbers:
        shutil.copytree(registry.place("wine", 1), registry.place("wine", number))
    live = Live(registry)
    live.look()
    for _ in range(2):
        assert [live.get("wine", number).version for number in numbers] == list(numbers)
    assert live.get("wine", numbers[-1]) is live.get("wine", numbers[-1])


def test_the_version_whose_use_was_longest_ago_goes_first(registry: Registry):
    """Of more versions than are kept, one that is asked for all the time stays loaded."""
    live = Live(registry)
    live.look()
    used, idle = (live.get("wine", published(registry, number)) for number in (3, 4))
    for number in range(5, KEPT + 4):
        live.get("wine", published(registry, number))
        assert live.get("wine", 3) is used
    assert live.get("wine", 4) is not idle


def published(registry: Registry, number: int) -> int:
    """Copy version 1 of `wine` as another and return its number."""
    shutil.copytree(registry.place("wine", 1), registry.place("wine", number))
    return number


def test_a_promotion_is_noticed(registry: Registry):
    """The next look swaps the version; whoever holds the old one keeps it, and the new one was not there before."""
    live = Live(registry)
    live.look()
    before, all_before = live.get("wine"), live.champions
    registry.promote("wine", published(registry, 3), "third")
    assert live.get("wine") is before
    live.look()
    assert live.get("wine").version == 3
    assert all_before == {"wine": before}
    assert live.reloads == {("wine", "loaded"): 2}
    live.look()
    assert live.reloads == {("wine", "loaded"): 2}


def test_the_old_version_is_dropped(registry: Registry):
    """Once nobody holds it any more, nothing does."""
    live = Live(registry)
    live.look()
    gone = weakref.ref(live.get("wine"))
    registry.promote("wine", 1, "back")
    live.look()
    gc.collect()
    assert gone() is None


def test_a_model_that_comes_later_is_served(registry: Registry, houses_artifacts: Path, tmp_path: Path):
    """A service that started without a model answers for it once it is promoted, by the short way too."""
    app = create_app({"artifacts": registry.folder, "reports": tmp_path})
    client, live = app.test_client(), app.extensions["live"]
    assert ask(client, "/models/houses/predict").status_code == 404
    shutil.copytree(houses_artifacts / "houses", registry.folder / "houses")
    live.look()
    assert ask(client, "/models/houses/predict").json["version"] == 1
    assert "/models/houses/predict" in app.wsgi_app.lane.routes


def test_a_bad_promotion_leaves_what_is_served(
    registry: Registry, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """It is refused with one line in the log, tried again ever more rarely, and served once it is mended."""
    live = Live(registry)
    live.look()
    damage(registry, published(registry, 3))
    registry.promote("wine", 3, "third")
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    tried = []
    for second in range(40):
        now[0] = float(second)
        refused = live.reloads["wine", "refused"]
        live.look()
        tried += [second] * (live.reloads["wine", "refused"] - refused)
    assert tried == [0, 1, 3, 7, 15, 31]
    assert live.get("wine").version == 2
    told = live.refused["wine"]
    assert told.startswith("version 3 was refused: wine/3/model.onnx is damaged: sha256 is ")
    assert told.endswith("; version 2 is served instead")
    assert len([record for record in caplog.records if "was refused" in record.message]) == 1
    damage(registry, 3)
    now[0] = 100.0
    live.look()
    assert (live.get("wine").version, live.refused) == (3, {})


def test_a_version_that_fails_its_trial_is_never_loaded(registry: Registry, monkeypatch: pytest.MonkeyPatch):
    """What another process could not load is not loaded here; what it could is not tried there a second time."""
    tried: list[Path] = []

    def trial(folders: Sequence[Path], *, patience: float) -> dict[Path, Tried]:
        tried.extend(folders)
        return {folder: Tried("it crashes") if folder.name == "3" else found for folder, found in sound(folders)}

    def sound(folders: Sequence[Path]) -> Iterable[tuple[Path, Tried]]:
        return untried(folders, patience=1).items()

    live = Live(registry, trial)
    live.look()
    registry.promote("wine", published(registry, 3), "third")
    monkeypatch.setattr("service.loading.Model", lambda source: pytest.fail(f"{source.folder} was loaded"))
    live.look()
    assert live.refused == {"wine": "version 3 was refused: it crashes; version 2 is served instead"}
    with pytest.raises(BundleError, match="it crashes"):
        live.get("wine", 3)
    monkeypatch.undo()
    for version in (1, 2, 1, 2):
        registry.promote("wine", version, "again")
        live.look()
        assert live.get("wine").version == version
    assert [folder.name for folder in tried] == ["2", "3", "1"]


def test_an_older_version_that_becomes_whole_later_is_served(registry: Registry, monkeypatch: pytest.MonkeyPatch):
    """Where every version was damaged at the start, the first that is whole again answers, and then the champion."""
    damage(registry, 1)
    damage(registry, 2)
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    live = Live(registry)
    live.look()
    with pytest.raises(NoModelError, match=r"version 2 was refused.*version 1 was refused"):
        live.get("wine")
    damage(registry, 1)
    now[0] = 10.0
    live.look()
    assert live.get("wine").version == 1
    assert live.refused["wine"].endswith("; version 1 is served instead")
    damage(registry, 2)
    now[0] = 20.0
    live.look()
    assert (live.get("wine").version, live.refused) == (2, {})


def test_a_look_that_takes_long_leaves_the_rest_to_the_next(registry: Registry, monkeypatch: pytest.MonkeyPatch):
    """What there was no time to try is told of as such, and served by a later look."""
    live = Live(registry)
    monkeypatch.setattr("service.live.LOOK", 0)
    live.look()
    with pytest.raises(NoModelError, match="wine version 2 is to be tried first"):
        live.check_ready()
    monkeypatch.undo()
    live.look()
    assert (live.get("wine").version, live.refused) == (2, {})


@pytest.mark.slow
def test_models_whose_champions_hang_are_served_by_the_version_before(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[str, str], Path]
):
    """Each costs the start its brief time and no more; with its full time later, it is served."""
    for name in ("ale", "beer"):
        shutil.copytree(registry.home("wine"), registry.home(name))
        for number in (1, 2):
            changed(registry.place(name, number), manifest={"model": name})
        mark(registry.place(name, 2), "hanging")
    spoil("hanging", "time.sleep(6)")
    monkeypatch.setattr("service.loading.BRIEF", 3.0)
    live = Live(registry, partial(trial, memory=1 << 30))
    live.look()
    assert {name: model.version for name, model in live.champions.items()} == {"ale": 1, "beer": 1, "wine": 2}
    told = "version 2 was refused: it was not loaded within 3 s; version 1 is served instead"
    assert live.refused == {"ale": told, "beer": told}
    give_up = time.monotonic() + 90
    while live.refused and time.monotonic() < give_up:
        live.look()
    assert {model.version for model in live.champions.values()} == {2}


def test_a_version_by_number_is_tried_in_one_thread(registry: Registry):
    """Who asks before it was tried is told to ask again, at once; then the trial is over, and it answers."""
    begun, go_on, tried = threading.Event(), threading.Event(), list[str]()

    def slow(folders: Sequence[Path], *, patience: float) -> dict[Path, Tried]:
        tried.extend(folder.name for folder in folders)
        if folders[0].name != "2":
            begun.set()
            assert go_on.wait(30)
        return untried(folders, patience=patience)

    for number in (3, 4):
        published(registry, number)
    live = Live(registry, slow)
    live.look()
    live.watch(0.01)
    for number in (1, 3, 4, 1, 3, 4):
        with pytest.raises(LoadingError, match=f"wine version {number} is to be tried first"):
            live.get("wine", number)
    assert begun.wait(30)
    assert tried == ["2", "1"]
    assert live.get("wine").version == 2
    go_on.set()
    for number in (1, 3, 4):
        assert _once_tried(lambda number=number: live.get("wine", number)).version == number
    assert tried == ["2", "1", "3", "4"]


def test_what_is_tried_again_keeps_no_promotion_waiting(registry: Registry, monkeypatch: pytest.MonkeyPatch):
    """A champion that is slow to load has its full time beside: promotions are noticed meanwhile, then it is served."""
    again, go_on, running, most = threading.Event(), threading.Event(), list[float](), [0]

    def slow(folders: Sequence[Path], *, patience: float) -> dict[Path, Tried]:
        running.append(patience)
        most[0] = max(most[0], len(running))
        try:
            if folders[0].name == "2" and patience < PATIENCE:
                return {folders[0]: Tried("it was not loaded in time")}
            if folders[0].name == "2":
                again.set()
                assert go_on.wait(30)
            return untried(folders, patience=patience)
        finally:
            running.remove(patience)

    monkeypatch.setattr("service.loading.SHORTEST", 0.01)
    live = Live(registry, slow)
    live.look()
    assert live.get("wine").version == 1
    live.watch(0.01)
    assert again.wait(30)
    registry.promote("wine", published(registry, 3), "third")
    assert _comes(lambda: live.get("wine").version == 3)
    assert running == [PATIENCE]
    go_on.set()
    registry.promote("wine", 2, "back")
    assert _comes(lambda: live.get("wine").version == 2)
    assert _comes(lambda: live.refused == {})
    assert most == [2]


def _comes(is_so: Callable[[], bool]) -> bool:
    give_up = time.monotonic() + 30
    while not is_so() and time.monotonic() < give_up:
        time.sleep(0.005)
    return is_so()


def _once_tried(get: Callable[[], Model]) -> Model:
    """Return what comes when no longer told to ask again."""
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        with suppress(LoadingError):
            return get()
        time.sleep(0.005)
    raise TimeoutError("it was never tried")


@pytest.mark.slow
def test_versions_that_hang_keep_nobody_waiting(
    registry: Registry, tmp_path: Path, spoil: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
):
    """While versions asked for by number hang, everything else is answered and one process a worker tries them."""
    for number in range(3, 9):
        mark(registry.place("wine", published(registry, number)), "hanging")
    spoil("hanging", "time.sleep(600)")
    most = 0
    with serving(registry.folder, tmp_path, poll=0.1, deadline=4) as server:
        address = f"http://{server.host}:{server.port}"
        for number in [*range(3, 9)] * 5:
            reply = requests.post(
                f"{address}/models/wine/versions/{number}/predict", json={"instances": []}, timeout=60
            )
            assert reply.status_code == 503
            if "is to be tried first" in reply.json()["detail"]:
                assert reply.headers["Retry-After"] == "1"
            else:
                assert reply.json()["detail"] == "it was not loaded within 5 s"
            assert requests.get(f"{address}/models", timeout=60).status_code == 200
            workers = psutil.Process(server.process.pid).children()
            most = max(most, *(len(worker.children()) for worker in workers))
        assert most == 1


@pytest.mark.slow
def test_a_promotion_is_tried_once_a_worker(registry: Registry, tmp_path: Path, spoil: Callable[[str, str], Path]):
    """A model of several megabytes is tried by each of two workers once, while it is asked for by number, too."""
    mark(registry.place("wine", published(registry, 3)), "large" * 1_000_000)
    signed = spoil("never", "pass")
    with serving(registry.folder, tmp_path, poll=0.1) as server:
        address = f"http://{server.host}:{server.port}"
        while len(_signatures(signed)) < 2:
            time.sleep(0.01)
        registry.promote("wine", 3, "large")
        give_up, same = time.monotonic() + 60, 0
        while same < 20 and time.monotonic() < give_up:
            requests.post(f"{address}/models/wine/versions/3/predict", json={"instances": []}, timeout=60)
            version = requests.get(address, timeout=60).json()["models"]["wine"]
            same = same + 1 if version == 3 else 0
        assert same == 20
    assert len(_signatures(signed)) == 4


def _signatures(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.isdecimal()]


def test_a_lost_pointer_leaves_what_is_served(registry: Registry):
    """Where the champion file, or the whole model, is gone, the version that was loaded answers on."""
    live = Live(registry)
    live.look()
    (registry.home("wine") / "champion").unlink()
    live.look()
    assert live.get("wine").version == 2
    shutil.rmtree(registry.home("wine"))
    live.look()
    assert live.get("wine").version == 2


@pytest.mark.slow
def test_the_server_follows_promotions(registry: Registry, tmp_path: Path):
    """The real server notices within its poll, in both workers, without a request that fails."""
    with serving(registry.folder, tmp_path, poll=0.1) as server:
        address = server.address
        for version in (1, 2, 1):
            registry.promote("wine", version, "to and fro")
            give_up, same = time.monotonic() + 20, 0
            while same < 20 and time.monotonic() < give_up:
                reply = requests.post(f"{address}/predict", json={"instances": []}, timeout=20)
                assert reply.status_code == 200
                same = same + 1 if reply.json()["version"] == version else 0
            assert same == 20


def test_a_pipe_in_place_of_the_sums_is_refused_and_not_waited_for(registry: Registry):
    """Nobody waits for a pipe to be written to: the version is refused and the one before is served."""
    sums = registry.place("wine", 2) / bundle.SUMS
    sums.unlink()
    os.mkfifo(sums)
    live = Live(registry)
    starting = threading.Thread(target=live.look, daemon=True)
    starting.start()
    starting.join(30)
    assert not starting.is_alive()
    assert live.get("wine").version == 1
    assert "version 2 was refused" in live.refused["wine"]


@pytest.mark.parametrize("name", ["champion", "history.jsonl"])
def test_a_model_whose_folder_cannot_be_read_leaves_the_others(registry: Registry, houses_artifacts: Path, name: str):
    """A folder in place of a model's champion or history is told of, and the other models are served."""
    shutil.copytree(houses_artifacts / "houses", registry.folder / "houses")
    spoilt = registry.home("houses") / name
    spoilt.unlink()
    spoilt.mkdir()
    live = Live(registry)
    live.look()
    assert live.get("wine").version == 2
    assert ("houses" in live.champions) == (name == "history.jsonl")
    assert live.refused.get("houses", "").startswith("houses/champion cannot be read") == (name == "champion")
    registry.promote("wine", 1, "back")
    live.look()
    assert live.get("wine").version == 1


def test_whatever_a_model_raises_leaves_the_others(
    registry: Registry, houses_artifacts: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Memory that is short for one model, or a fault of our own at one, is told of it, and the others are served."""
    shutil.copytree(houses_artifacts / "houses", registry.folder / "houses")
    live, read = Live(registry), bundle.read

    def short(folder: Path) -> bundle.Bundle:
        if folder.parent.name == "houses":
            raise MemoryError
        return read(folder)

    monkeypatch.setattr(bundle, "read", short)
    live.look()
    told = "version 1 was refused: houses/1 cannot be loaded beside the others (MemoryError)"
    assert (list(live.champions), live.refused) == (["wine"], {"houses": told})
    monkeypatch.undo()
    monkeypatch.setattr(Registry, "candidates_to_serve", lambda self, name: {}[name])
    registry.promote("wine", 1, "back")
    for _ in range(2):
        live.look()
    assert live.get("wine").version == 1
    assert live.refused == {"houses": "houses cannot be served (KeyError)"}
    assert [bool(record.exc_info) for record in caplog.records if "KeyError" in record.message] == [True]


@pytest.mark.parametrize("name", ["champion", "history.jsonl"])
def test_a_pipe_beside_a_models_versions_leaves_the_others(registry: Registry, houses_artifacts: Path, name: str):
    """Nobody waits for a pipe in place of one model's champion or history: promotions of the others are noticed."""
    shutil.copytree(houses_artifacts / "houses", registry.folder / "houses")
    live = Live(registry)
    live.look()
    for file in ("champion", name):
        (registry.home("houses") / file).unlink(missing_ok=True)
    os.mkfifo(registry.home("houses") / name)
    registry.promote("wine", 1, "back")
    looking = threading.Thread(target=live.look, daemon=True)
    looking.start()
    looking.join(30)
    assert not looking.is_alive()
    assert (live.get("wine").version, live.get("houses").version) == (1, 1)
    assert live.refused["houses"].startswith(f"houses/{name} cannot be read (shared or no file")


def test_a_file_in_place_of_a_model_leaves_the_others(
    registry: Registry, start: Callable[[], FlaskClient], caplog: pytest.LogCaptureFixture
):
    """It is told of at /models and once in the log, is answered calmly, and is forgotten when it is gone."""
    odd = registry.folder / "odd"
    odd.write_text("no folder")
    client = start()
    live = client.application.extensions["live"]
    live.look()
    told = "odd cannot be read (Not a directory): mend that and try again"
    assert client.get("/models").json["refused"] == client.get("/health/ready").json["refused"] == {"odd": told}
    assert [record.message for record in caplog.records if "odd" in record.message] == [told]
    assert ask(client).json["version"] == 2
    for reply in (ask(client, "/models/odd/predict"), client.get("/models/odd/versions")):
        assert (reply.status_code, reply.json["detail"]) == (503, told)
    odd.unlink()
    live.look()
    assert live.refused == {}


def test_a_refusal_is_told_no_more_once_another_is_champion(registry: Registry):
    """Who goes back from a refused version to the one that is served is told of no refusal any more."""
    live = Live(registry)
    live.look()
    shutil.copytree(registry.place("wine", 1), registry.place("wine", 3))
    registry.promote("wine", 3, "third")
    damage(registry, 3)
    live.look()
    assert "version 3 was refused" in live.refused["wine"]
    registry.rollback("wine")
    live.look()
    assert live.refused == {}

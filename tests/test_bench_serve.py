from __future__ import annotations

import importlib
import io
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from outside import outside

from bench.serve import __main__ as command
from bench.serve import environments, figures, load, places, rounds, servers, setups, wire
from bench.serve.figures import IN_PROCESS, Run
from bench.serve.load import Load
from bench.serve.setups import (
    BARE,
    BULK,
    FASTAPI,
    HUNDRED,
    JSON_CASES,
    ML_SERVER,
    ONE,
    OURS,
    OWN_BARE,
    SKETCH,
    TENSOR,
    Setup,
)
from bench.serve.trained import Trained, train
from service.app import create_app
from service.errors import DataError
from workshop.pins import read_lock

TOLD = """\
Running 1s test @ http://127.0.0.1:1/
  1 threads and 8 connections
{"requests": 3000, "duration": 1500000, "p50": 420, "p99": 6500, "errors": %d}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The linear model and rows enough for every case."""
    return train(tmp_path_factory.mktemp("bench"), "logistic_regression", setups.MOST)


@pytest.fixture
def place(trained: Trained, tmp_path: Path):
    """The function that gives a set-up its place."""
    return lambda setup: places.prepare(setup, trained, tmp_path)


def listening(words: str) -> Setup:
    """Return a set-up that runs other words than those of the bare server."""
    return OWN_BARE._replace(words=words)


def test_figures_of_the_load():
    """Requests by seconds, microseconds as milliseconds."""
    assert load.parse(TOLD % 0) == Load(2000.0, 0.42, 6.5)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (TOLD % 7, "7 of 3007 requests failed"),
        (TOLD.replace("3000", "0") % 0, "0 of 0 requests failed"),
        ("unable to connect to 127.0.0.1:1 Connection refused\n", "no figures: unable to connect"),
        ("", "it told nothing"),
    ],
)
def test_a_load_that_failed_is_no_figure(told, reason):
    """Requests that failed, none at all, or other output, void the measurement with the reason."""
    with pytest.raises(DataError, match=reason):
        load.parse(told)


def test_wrk_is_asked_for_where_it_is_missing(monkeypatch):
    """Without wrk one sentence says how to get it."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DataError, match="wrk, which makes the load, is missing: install"):
        load.require_wrk()


def run_of(rate: float, p99: float = 1.0, cold: float = 0.5, memory: float = 100.0) -> Run:
    """Return a run that has the same figures in every case."""
    return Run(cold, memory, {case: Load(rate, p99 / 2, p99) for case in JSON_CASES})


def test_ratios_are_of_one_round():
    """The ratio is the median of the rounds' ratios, not the ratio of the medians."""
    found = {OURS.name: [run_of(10), run_of(90), run_of(40)], FASTAPI.name: [run_of(10), run_of(30), run_of(1)]}
    assert figures.ratio(found, FASTAPI.name, figures.rate(ONE), figures.rate(ONE)) == 3


def test_goals():
    """Each goal is judged by its own limit; p99 against the nearest peer, and the bare limit is none."""
    found = {
        OURS.name: [run_of(30, p99=2.0, cold=0.9)],
        FASTAPI.name: [run_of(10, p99=4.0)],
        BARE.name: [run_of(50, p99=0.1)],
        SKETCH.name: [run_of(40, p99=0.2, memory=200)],
        ML_SERVER.name: [run_of(20, p99=1.6)],
    }
    judged = {goal.text: goal for goal in figures.goals(found, [OURS, FASTAPI, BARE, ML_SERVER], forest=False)}
    met = {text: goal.met for text, goal in judged.items()}
    assert met == {
        "1 row: at least 3 times FastAPI + onnxruntime": True,
        "1 row: at least 25 times MLServer": False,
        "1 row: at least 0.7 times bare WSGI": False,
        "100 rows: at least 2.5 times FastAPI + onnxruntime": True,
        "10,000 rows: at least 2 times MLServer": False,
        "1 row: p99 below every peer's": False,
        "100 rows: p99 below every peer's": False,
        "10,000 rows: p99 below every peer's": False,
        "cold start to the first prediction under 0.8 s": False,
        "memory no more than a plain Flask view": True,
    }
    assert judged["1 row: p99 below every peer's"].found == "1.25 times MLServer's"
    forest = figures.goals(found, [OURS, FASTAPI, BARE, ML_SERVER], forest=True)
    assert any(goal.text == "10,000 rows: at least 1.1 times MLServer" and goal.met for goal in forest)


def test_the_tensor_is_judged_by_the_runtime_in_process():
    """What only ours answers is compared to onnxruntime without a server; a set-up left out has no goal."""
    ours = run_of(30)
    ours = ours._replace(loads={**ours.loads, TENSOR: Load(400, 2, 3)})
    found = {OURS.name: [ours], IN_PROCESS: [Run(0, 0, {BULK: Load(1000, 1, 1)})]}
    judged = {goal.text: goal.found for goal in figures.goals(found, [OURS, FASTAPI], forest=False)}
    assert judged["10,000 rows, tensor: at least 0.5 times onnxruntime in process"] == "0.40 times"
    assert not any("FastAPI" in text or "p99" in text for text in judged)


def test_the_table():
    """Medians in aligned columns; a case that a set-up was not asked stays empty."""
    found = {OURS.name: [run_of(1), run_of(1234), run_of(5000)], IN_PROCESS: [Run(0, 0, {BULK: Load(1600, 0.5, 0.7)})]}
    lines = figures.markdown(figures.summary(found)).splitlines()
    assert len({len(line) for line in lines}) == 1 and len(lines) == 4
    assert lines[2].split(" | ")[1].strip() == "1,234 (0.5 / 1)" and lines[2].endswith("| 0.50          | 100        |")
    assert re.fullmatch(r"\| onnxruntime in process \| +\| +\| 1,600 \(0\.5 / 0\.7\) +\| +\| +\|", lines[3])


@pytest.mark.parametrize("module", ["bare", "bare_buffer", "flask_pickle"])
@pytest.mark.parametrize("case", JSON_CASES, ids=lambda case: case.name)
def test_what_we_are_measured_against_answers_rightly(trained, monkeypatch, module, case):
    """Each app whose packages are here gives the labels that the pipeline gives."""
    monkeypatch.setenv("BENCH_FILES", str(trained.files))
    monkeypatch.syspath_prepend(str(setups.PEERS))
    monkeypatch.delitem(sys.modules, module, raising=False)
    app = importlib.import_module(module).app
    request = setups.FEATURES.write(trained.rows[: case.rows], trained.names)
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/predict",
        "SERVER_NAME": "here",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(request.body)),
    }
    told: list[Any] = []
    body = b"".join(app(environ, lambda status, headers: told.append(status)))
    assert told == ["200 OK"] and setups.FEATURES.read(body, {}) == trained.labels[: case.rows]


@pytest.mark.parametrize("estimator", command.MODELS.values())
def test_our_service_answers_the_same(estimator, tmp_path):
    """The bundle made for the measurement is served, and its answers are the pipeline's."""
    trained = train(tmp_path, estimator, HUNDRED.rows)
    client = create_app({"artifacts": trained.artifacts, "reports": tmp_path}).test_client()
    request = OURS.wire.write(trained.rows, trained.names)
    reply = client.post(OURS.path, data=request.body, headers=request.headers)
    assert OURS.wire.read(reply.data, {}) == trained.labels and len(set(trained.labels)) == 3
    assert "warnings" not in reply.json


def test_a_binary_tensor_and_its_answer():
    """The tensor follows the JSON whose length the header tells, and a binary answer is read the same way."""
    request = wire.V2_BINARY.write(np.ones((2, 3)), list("abc"))
    length = int(request.headers[wire.HEADER_LENGTH])
    assert len(request.body) == length + 2 * 3 * 4 and b'"binary_data_size":24' in request.body[:length]
    head = b'{"outputs":[{"name":"predict","datatype":"INT64","shape":[2],"parameters":{"binary_data_size":16}}]}'
    body = head + (1).to_bytes(8, "little") + (2).to_bytes(8, "little")
    assert wire.V2.read(body, {wire.HEADER_LENGTH: str(len(head))}) == [1, 2]


def test_an_arrow_stream_is_read_as_it_was_written(trained):
    """Columns by name; the first column of a reply holds the labels."""
    request = wire.ARROW_STREAM.write(trained.rows[:5], trained.names)
    assert wire.ARROW_STREAM.read(request.body, {}) == trained.rows[:5, 0].tolist()
    assert all(name.encode() in request.body for name in trained.names)


@pytest.mark.slow
@pytest.mark.parametrize("setup", [OURS._replace(more={}), OWN_BARE], ids=lambda setup: setup.name)
def test_a_server_is_started_judged_weighed_and_ended(place, setup):
    """It answers its first prediction and every case rightly; afterwards none of its processes is left."""
    ready = place(setup)
    with servers.running(ready) as server:
        assert [servers.fault(ready, case, server.port) for case in JSON_CASES] == ["", "", ""]
        while len(members := servers.family(server.process)) < 3:  # the second worker may come after the first answer
            assert server.process.poll() is None
        assert servers.memory(server.process) > 30 and server.cold > 0
    assert psutil.wait_procs(members, timeout=10)[1] == []


@pytest.mark.slow
def test_a_round_over_the_network(trained, tmp_path, monkeypatch):
    """The bare server is loaded by wrk for a second a case; what is not answered rightly is left out and told."""
    outside("wrk")
    wrong = OWN_BARE._replace(name="wrong", wire=OWN_BARE.wire._replace(read=lambda body, headers: [7]))
    told: list[str] = []
    monkeypatch.setattr(rounds, "tell", told.append)
    found = rounds.measure([wrong, OWN_BARE], trained, tmp_path, 1, 1)
    assert list(found) == [OWN_BARE.name, IN_PROCESS]
    assert told[0] == "wrong is left out: the answer holds other labels than were expected"
    loads = [figures for runs in found.values() for figures in runs[0].loads.values()]
    assert len(loads) == 4 and all(figures.rate > 0 and figures.p50 <= figures.p99 for figures in loads)


def test_a_wrong_answer_of_ours_ends_the_measurement(trained, tmp_path):
    """Without our own service there is nothing to compare."""
    wrong = OURS._replace(path="/nowhere", words="{python} -c 0")
    with pytest.raises(DataError, match="Cellar: it ended as it started"):
        rounds.measure([wrong], trained, tmp_path, 1, 1)


def test_a_server_that_does_not_start(place):
    """Its last words are told, and nothing waits for it."""
    ready = place(listening("{python} -c \"import sys; sys.exit('no such module')\""))
    with pytest.raises(DataError, match="it ended as it started: no such module"), servers.running(ready):
        pass


def test_what_outlives_its_server_is_ended(tmp_path, monkeypatch):
    """A child that ignores the server's end is killed by its id."""
    monkeypatch.setattr(servers, "ENDING", 0.3)
    child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    parent = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE)
    assert process.stdout
    with process.stdout as told:
        assert told.readline() == b"1\n"
        members = servers.family(process)
        servers.end(process)
    give_up = time.monotonic() + 5
    while any(member.is_running() and member.status() != "zombie" for member in members) and time.monotonic() < give_up:
        time.sleep(0.01)
    assert len(members) == 2 and process.returncode is not None
    assert not any(member.is_running() and member.status() != "zombie" for member in members)


def test_an_environment_that_cannot_be_made(tmp_path, monkeypatch):
    """A pin that does not exist is told in one sentence, and nothing half-made is left."""
    (tmp_path / "odd.txt").write_text("cellar-no-such-package @ file:///nowhere/at/all.whl\n", encoding="utf-8")
    monkeypatch.setattr(environments, "PEERS", tmp_path)
    monkeypatch.setattr(environments, "CACHE", tmp_path / "cache")
    with pytest.raises(DataError, match=r"its environment cannot be made from odd\.txt: "):
        environments.prefix("odd")
    assert not (tmp_path / "cache" / "odd").exists()


def test_every_peer_has_its_pins_and_they_are_ours():
    """Whatever a peer's pins share with the lock is the same version, so that all compute with the same libraries."""
    lock = dict(re.findall(r"^([\w-]+)==(\S+)", read_lock(), re.M)[::-1])  # of two, the first: the oldest Python's
    named = {setup.environment for setup in (*setups.ALWAYS, *setups.OPTIONAL.values()) if setup.environment}
    assert named == {path.stem for path in setups.PEERS.glob("*.txt")}
    for path in setups.PEERS.glob("*.txt"):
        pins = dict(re.findall(r"^([\w-]+)(?:\[\w+\])?==(\S+)$", path.read_text(), re.M))
        assert len(pins) == len(path.read_text().splitlines())
        assert {name: lock[name] for name in pins if name in lock} == {n: v for n, v in pins.items() if n in lock}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--models", "tree"], "linear and forest, not tree"),
        (["--rounds", "0"], "must be 1 or more"),
        (["--peers", "nobody"], "no peer is called 'nobody': --peers takes all, or some of fastapi_joblib, mlserver"),
    ],
)
def test_options_that_are_none(capsys, words, told):
    """A wrong option is told before anything starts."""
    try:
        code = command.main(words)
    except SystemExit as error:
        code = error.code
    assert code and told in capsys.readouterr().err

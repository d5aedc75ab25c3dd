from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import changed

from service import bundle
from service.errors import DataError
from service.registry import CHAMPION, HISTORY, Registry
from workshop import server

ROOT = Path(__file__).parents[1]


@pytest.fixture
def taken():
    """A port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def free():
    """A port that nobody listened on a moment ago."""
    return server.free_port()


def test_a_free_port_passes(free):
    """Nothing is said of a port that can be used, by number or by name of the host."""
    server.check_free("127.0.0.1", free)
    server.check_free("localhost", free)


def test_a_taken_port_is_told(taken):
    """A port that is in use is told with the cure."""
    with pytest.raises(
        DataError, match=rf"cannot listen on 127\.0\.0\.1:{taken} \(Address already in use\): choose another"
    ):
        server.check_free("127.0.0.1", taken)


@pytest.mark.parametrize("port", ["0", "-1", "65536", "abc", "", "5000.0"])
def test_a_port_out_of_range_is_told(port):
    """What is no port is told as such."""
    with pytest.raises(DataError, match=rf"--port must be a whole number between 1 and 65535, got '{port}'$"):
        server.whole("--port", port, 65535)
    assert server.whole("--port", "5000", 65535) == 5000


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.1", "a" * 300])
def test_a_host_that_is_not_ours_is_told(free, host):
    """An address that this machine does not have ends in a sentence."""
    with pytest.raises(DataError, match=r"cannot listen on .* choose another with --port or --host"):
        server.check_free(host, free)


@pytest.mark.parametrize("house", ["wine_artifacts", "houses_artifacts"])
def test_welcome_tells_how_to_ask(request, house):
    """The command can be pasted into a shell, also with quotes in names, and its JSON is the example row."""
    registry = Registry(request.getfixturevalue(house))
    told = server.welcome("http://127.0.0.1:5000/", registry, 7)
    name = registry.models()[0]
    words = shlex.split(next(line for line in told.splitlines() if line.startswith("curl ")))
    assert words[:2] == ["curl", f"http://127.0.0.1:5000/models/{name}/predict"]
    assert words[2:5] == ["-H", "Content-Type: application/json", "-d"]
    (row,) = json.loads(words[5])["instances"]
    from service.model import load

    model = load(registry.place(name, 1))
    assert row == {feature.name: feature.example for feature in model.manifest.features}
    assert len(model.predict(model.schema.read_records([row])).values) == 1
    assert f"http://127.0.0.1:5000/models/{name}/report" in told


def test_welcome_without_a_model(tmp_path):
    """A house without a model still says where it is served."""
    told = server.welcome("http://[::1]:5000/", Registry(tmp_path), 7)
    assert told.strip() == "Serving on http://[::1]:5000/ (process 7)"


def test_welcome_prefers_the_default_model(houses_artifacts, monkeypatch):
    """The command asks the model that CELLAR_DEFAULT_MODEL names."""
    monkeypatch.setenv("CELLAR_DEFAULT_MODEL", "prices")
    assert "/models/prices/predict" in server.welcome("http://x/", Registry(houses_artifacts), 7)


@pytest.fixture
def serving(wine_artifacts, tmp_path, free):
    """The function that starts the real server, and gives the process, what it said and the service's process id."""
    told = (
        "import sys; from pathlib import Path; from service.registry import Registry; from workshop import server; "
        f"sys.exit(server.run('127.0.0.1', {free}, 1, Registry(Path({str(wine_artifacts)!r}))))"
    )
    environ = {**os.environ, "CELLAR_ARTIFACTS": str(wine_artifacts), "CELLAR_REPORTS": str(tmp_path)}

    @contextmanager
    def started(*before):
        words = [*before, sys.executable, "-c", told]
        with subprocess.Popen(words, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True) as running:
            lines = []
            while not lines or not lines[-1].startswith("Stop with"):
                lines.append(running.stdout.readline())
                assert lines[-1], "".join(lines)
            yield running, lines, int(re.search(r"\(process (\d+)\)", "".join(lines))[1])

    return started


def ends(running, port):
    """Return the exit code of who started a service once that has ended, too, and the port is free."""
    running.communicate(timeout=20)  # until the last of the processes that have its output has ended
    server.check_free("127.0.0.1", port)
    return running.returncode


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_serving_tells_where_answers_and_stops(serving, free, number, code):
    """Once it is ready it says where, its own command gets an answer, and the service ends with who started it: told
    to end, its terminal closed, or killed."""
    with serving() as (running, lines, _):
        words = shlex.split(next(line for line in lines if line.startswith("curl ")))
        request = urllib.request.Request(words[1], words[5].encode(), dict([words[3].split(": ")]))
        with urllib.request.urlopen(request, timeout=10) as reply:
            assert reply.status == 200 and json.load(reply)
        running.send_signal(number)
        assert ends(running, free) == code


def test_the_process_that_is_named_takes_the_signals(serving, free):
    """It is the one that stands in docs/serving.md: told to end, it ends all."""
    with serving() as (running, _, service):
        os.kill(service, signal.SIGTERM)
        assert ends(running, free) == 0


def test_with_nohup_the_terminal_may_close(serving, free):
    """Where SIGHUP was ignored from the start the service answers after one, and SIGTERM still ends it."""
    with serving("nohup") as (running, _, _):
        running.send_signal(signal.SIGHUP)
        for _ in range(3):
            urllib.request.urlopen(f"http://127.0.0.1:{free}/health/live", timeout=10).close()
        running.send_signal(signal.SIGTERM)
        assert ends(running, free) == 0


def test_a_house_of_which_nothing_is_sound_is_told(artifacts, inv, free):
    """What was refused is one sentence with the command that says more, and the service has ended."""
    (artifacts / "wine" / "1" / bundle.GOLDEN).write_text("{}")
    done = inv("serve", "--port", str(free), artifacts=artifacts)
    assert done.returncode == 1
    (told,) = [line for line in done.stderr.splitlines() if line.startswith("no model can be served: version 1 was")]
    assert "golden.json is damaged" in told and told.endswith("; inv verify says what to do")
    server.check_free("127.0.0.1", free)


def test_a_house_of_which_nothing_was_promoted_is_told(artifacts, inv, free):
    """The command that is told has a model served."""
    for name in (CHAMPION, HISTORY):
        (artifacts / "wine" / name).unlink()
    changed(artifacts / "wine" / "1", metrics={"verdict": {"promote": False, "reasons": ["failed: worse"]}})
    done = inv("serve", "--port", str(free), artifacts=artifacts)
    told = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and told.startswith("no model can be served, for none was promoted: inv promote wine 1")
    words = shlex.split(told.partition(": ")[2].removesuffix(" promotes one"))
    assert inv(*words[1:], artifacts=artifacts).returncode == 0
    assert Registry(artifacts).champion("wine") == 1


def test_a_port_is_claimed_once(free, tmp_path):
    """Of two services of a house that start at once on one port, the second is told so."""
    with (
        server.claimed("127.0.0.1", free, tmp_path),
        pytest.raises(DataError, match=rf"another service is starting on port {free}: choose another"),
        server.claimed("127.0.0.1", free, tmp_path),
    ):
        pass
    with server.claimed("127.0.0.1", free, tmp_path):
        pass

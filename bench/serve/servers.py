"""Starting a set-up, asking it for its first prediction, weighing it and ending it."""

from __future__ import annotations

import http.client
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from bench.serve.places import PATIENCE, Place, last_words, start
from bench.serve.setups import ONE, Case
from bench.serve.wire import Request
from service.errors import DataError
from workshop.server import free_port

ENDING = 3
"""Seconds that a server may take to end before it is killed."""
PAUSE = 0.005
"""Seconds between two looks whether a server answers."""


class Server(NamedTuple):
    """A set-up that answered its first prediction, `cold` seconds after its start."""

    process: subprocess.Popen[bytes]
    port: int
    cold: float


class Reply(NamedTuple):
    """What came back; `headers` is read without regard to case."""

    status: int
    headers: Any
    body: bytes


@contextmanager
def running(place: Place) -> Iterator[Server]:
    """Start a set-up on a free port, hand it over once it has answered one row, and end it."""
    port, started = free_port(), time.perf_counter()
    process = start(place, place.setup.words, port)
    try:
        reply = _first(place, process, port, started + PATIENCE)
        cold = time.perf_counter() - started
        if wrong := judge(place, ONE, reply):
            raise DataError(wrong)
        yield Server(process, port, cold)
    finally:
        end(process)


def _first(place: Place, process: subprocess.Popen[bytes], port: int, give_up: float) -> Reply:
    """Ask until the answer is 200: some servers listen before they have loaded their model."""
    told = "nothing listened"
    while process.poll() is None and time.perf_counter() < give_up:
        try:
            reply = ask(place, ONE, port)
        except OSError:
            time.sleep(PAUSE)
            continue
        if reply.status == 200:
            return reply
        told = f"{reply.status} {reply.body[:100].decode(errors='replace')}"
        time.sleep(PAUSE)
    if process.poll() is not None:
        raise DataError(f"it ended as it started: {last_words(place)}")
    raise DataError(f"it did not answer within {PATIENCE} s: {told}; {last_words(place)}")


def ask(place: Place, case: Case, port: int) -> Reply:
    """Send one request of a case; raise OSError where nothing answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        request: Request = place.requests[case]
        connection.request("POST", place.setup.asked()[case][0], request.body, request.headers)
        reply = connection.getresponse()
        return Reply(reply.status, reply.headers, reply.read())
    except http.client.HTTPException as error:
        raise ConnectionError(f"no whole reply: {error!r}") from error
    finally:
        connection.close()


def fault(place: Place, case: Case, port: int) -> str:
    """Ask once; return what is wrong with the answer, "" if nothing."""
    try:
        return judge(place, case, ask(place, case, port))
    except OSError as error:
        return f"no answer: {error}"


def judge(place: Place, case: Case, reply: Reply) -> str:
    """Return what is wrong with a reply that should be 200 with the labels expected: anything voids the figures."""
    if reply.status != 200:
        return f"the answer was {reply.status}: {reply.body[:100].decode(errors='replace').strip()}"
    try:
        labels = place.setup.asked()[case][1].read(reply.body, reply.headers)
    except Exception as error:  # a reply of any other shape is a wrong one
        return f"the answer has another format: {error!r}"
    return "" if labels == place.trained.labels[: case.rows] else "the answer holds other labels than were expected"


def memory(process: subprocess.Popen[bytes]) -> float:
    """Return the MB of a server and all processes under it, a page that several hold shared among them (PSS)."""
    return sum(_pss(each.pid) for each in family(process)) / 1e6


def _pss(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return a process and all that descend from it, none if it has ended."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    return []


def end(process: subprocess.Popen[bytes]) -> None:
    """End a server, and by their ids whichever of its processes it leaves behind."""
    members = family(process)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(members, timeout=ENDING)
    for each in alive:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()

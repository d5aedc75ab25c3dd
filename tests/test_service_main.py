from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service import bundle

ROOT = Path(__file__).parents[1]


@pytest.fixture
def connection(server: Any) -> Iterator[http.client.HTTPConnection]:
    """A connection to the running service."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def row(wine_artifacts: Path) -> list[Any]:
    """A row that fits `wine`, as a list."""
    return [feature.example for feature in bundle.read(wine_artifacts / "wine" / "1").manifest.features]


def test_requests_over_one_connection(connection: http.client.HTTPConnection, row: list[Any]):
    """One connection serves many requests, refused ones among them, and a chunked body arrives whole."""
    connection.connect()
    first = connection.sock
    for body, status in (([row], 200), ([[1]], 422), ([row, row], 200)):
        connection.request("POST", "/predict", json.dumps(body))
        reply = connection.getresponse()
        assert reply.status == status
        assert reply.headers["X-Model"] == "wine"
        answer = json.loads(reply.read())
    assert answer == [0, 0]
    text = json.dumps([row] * 500).encode()
    chunks = (text[at : at + 1000] for at in range(0, len(text), 1000))
    connection.request("POST", "/predict", chunks, encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    reply = connection.getresponse()
    assert json.loads(reply.read()) == [0] * 500
    assert connection.sock is first


def test_termination_answers_what_is_in_flight(server: Any, row: list[Any]):
    """SIGTERM while a request is being answered ends the server with 0, and the answer comes whole."""
    body = json.dumps([row] * 60_000).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection((server.host, server.port), timeout=20) as client:
        client.sendall(head + body)
        server.process.send_signal(signal.SIGTERM)
        reply = http.client.HTTPResponse(client)
        reply.begin()
        assert reply.status == 200
        assert json.loads(reply.read()) == [0] * 60_000
    assert server.process.wait(timeout=20) == 0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((server.host, server.port), timeout=5)


def test_help_names_every_option():
    """`python -m service --help` says what can be set."""
    done = subprocess.run(
        [sys.executable, "-m", "service", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for option in ("--host", "--port", "--workers"):
        assert option in done.stdout

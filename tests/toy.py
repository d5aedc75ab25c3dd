"""A toy application on the real server, for what the real application cannot be made to do: hang, fail, lie.

`python tests/toy.py PORT SETTINGS` serves it; `running` does so in a child process.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import http.client
import io
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from workshop.server import free_port

ROOT = Path(__file__).resolve().parent.parent
START = [("Content-Type", "text/plain")]
Environ = dict[str, Any]


class Toy:
    """A WSGI application whose path says in which way it goes wrong; what begins with /quick is for the event loop."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.config = SimpleNamespace(
            max_table=settings.get("max_table", 1 << 32),
            max_inflight=settings.get("max_inflight", 64),
            deadline=settings["deadline"],
        )
        self.metrics = SimpleNamespace(write=lambda: None)

    def is_quick(self, environ: Environ) -> bool:
        """Whether the event loop answers."""
        if environ["PATH_INFO"] == "/undecided":
            raise ZeroDivisionError
        return environ["PATH_INFO"].startswith("/quick")

    def __call__(self, environ: Environ, start: Callable[..., Any]) -> Any:
        """Answer as the last part of the path says."""
        if "cellar.refused" in environ:
            start("504 Gateway Timeout", START)
            return [str(environ["cellar.refused"]).encode()]
        asked = {name: int(value) for name, value in parse_qsl(environ["QUERY_STRING"])}
        return getattr(self, environ["PATH_INFO"].rpartition("/")[2] or "echo")(environ, start, **asked)

    def echo(self, environ: Environ, start: Callable[..., Any]) -> Any:
        """Tell what was asked."""
        body = environ["wsgi.input"].read()
        told = {name: value for name, value in environ.items() if isinstance(value, str)}
        told |= {
            "waiting": environ["cellar.waiting"],
            "pid": os.getpid(),
            "size": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        start("200 OK", START)
        return [json.dumps(told).encode()]

    def first(self, environ: Environ, start: Callable[..., Any]) -> Any:
        """Tell the first bytes of the body, and leave the rest."""
        start("200 OK", START)
        return [environ["wsgi.input"].read(4)]

    def sleep(self, environ: Environ, start: Callable[..., Any], ms: int = 1000) -> Any:
        """Answer after a while, during which nothing can interrupt."""
        time.sleep(ms / 1000)
        return self.echo(environ, start)

    def pieces(self, environ: Environ, start: Callable[..., Any], count: int = 3, size: int = 1000, length: int = -1):
        """Answer in pieces, which may be fewer or more than the length that is told."""
        start("200 OK", [*START, ("Content-Length", str(length))] if length >= 0 else START)
        return (b"x" * size for _ in range(count))

    def whole(self, environ: Environ, start: Callable[..., Any], size: int = 1000) -> Any:
        """Answer in one piece."""
        start("200 OK", START)
        return [b"x" * size]

    def lazy(self, environ: Environ, start: Callable[..., Any], fail: int = 9) -> Any:
        """Begin the reply only with its first piece, and fail before a piece."""
        for number in range(3):
            if number == fail:
                raise ZeroDivisionError
            if not number:
                start("200 OK", START)
            yield b"piece"

    def fail(self, environ: Environ, start: Callable[..., Any]) -> Any:
        """Raise."""
        raise ZeroDivisionError

    def tired(self, environ: Environ, start: Callable[..., Any]) -> Any:
        """Have the machine give no thread from now on."""

        def fail(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        threading.Thread.start = fail  # type: ignore[method-assign]
        return self.echo(environ, start)

    def inject(self, environ: Environ, start: Callable[..., Any], which: int = 0) -> Any:
        """Send a header that would be two, or none."""
        start("200 OK", [("X-Odd", ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "\u20ac"][which])])
        return [b"never"]

    def named(self, environ: Environ, start: Callable[..., Any]) -> Any:
        """Send a header whose value could be taken for another header."""
        start("200 OK", [("X-Odd", "content-length: 1")])
        return [b"whole"]

    def empty(self, environ: Environ, start: Callable[..., Any]) -> Any:
        """Answer 204, with a body that must not be sent."""
        start("204 No Content", [])
        return [b"never"]

    def alive(self, environ: Environ, start: Callable[..., Any]) -> Any:
        """Tell how many objects of the server live, without looking for garbage, and how many threads."""
        kinds = [type(each).__name__ for each in gc.get_objects()]
        told = {name: kinds.count(name) for name in ("Connection", "Exchange", "Stream")}
        start("200 OK", START)
        return [json.dumps(told | {"threads": threading.active_count()}).encode()]


class Running(NamedTuple):
    """A server with the toy."""

    process: subprocess.Popen[bytes]
    port: int

    def connect(self, timeout: float = 20) -> socket.socket:
        """Return a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def talk(self, *pieces: bytes, end: bool = True) -> bytes:
        """Send pieces, close the sending half if that is asked for, and return all that comes."""
        with self.connect() as client:
            for piece in pieces:
                client.sendall(piece)
            if end:
                client.shutdown(socket.SHUT_WR)
            return everything(client)

    def ask(self, path: str, **asked: Any) -> Any:
        """Ask over a connection of its own and return the reply's JSON."""
        told = self.talk(request(path, **asked))
        return json.loads(told.partition(b"\r\n\r\n")[2])

    def workers(self) -> list[int]:
        """Return the ids of the processes that serve."""
        return children(self.process.pid)


def children(pid: int) -> list[int]:
    """Return the ids of the processes that a process started and that still run."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def request(path: str = "/quick/echo", body: bytes = b"", head: str = "", method: str = "POST") -> bytes:
    """Return a request in bytes; `head` is more lines, each with its line break."""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{length}{head}\r\n".encode() + body


def chunked(path: str, *pieces: bytes, head: str = "", end: bytes = b"0\r\n\r\n") -> bytes:
    """Return a request in bytes whose body comes in chunks."""
    told = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n{head}\r\n".encode()
    return told + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


def everything(client: socket.socket) -> bytes:
    """Return all that comes until the server closes."""
    found = []
    while piece := client.recv(1 << 16):
        found.append(piece)
    return b"".join(found)


def reply(client: socket.socket, method: str = "POST") -> tuple[http.client.HTTPResponse, bytes]:
    """Return the next reply of a connection on which nothing else is under way, and its body."""
    found = http.client.HTTPResponse(client, method=method)
    found.begin()
    return found, found.read()


def replies(told: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """Return status, headers and body of each reply in a stream that ended."""

    class Told:
        def __init__(self) -> None:
            self.file = open_bytes(told)

        def makefile(self, *_: Any) -> Any:
            return self.file

    stream, found = Told(), []
    while stream.file.peek(1):
        each = http.client.HTTPResponse(stream)  # type: ignore[arg-type]
        each.begin()
        each.fp = stream.file
        found.append((each.status, {name.lower(): value for name, value in each.getheaders()}, each.read()))
    return found


def statuses(told: bytes) -> list[int]:
    """Return the statuses of all replies in a stream."""
    return [status for status, _, _ in replies(told)]


def resident(toy: Running) -> int:
    """Return the bytes of memory that the worker has."""
    (worker,) = toy.workers()
    with open(f"/proc/{worker}/statm") as file:
        return int(file.read().split()[1]) * 4096


def open_bytes(told: bytes) -> Any:
    """Return a file that a reply cannot close before the next one was read."""

    class Open(io.BufferedReader):
        def close(self) -> None:
            pass

    return Open(io.BytesIO(told))


@contextlib.contextmanager
def running(workers: int = 1, **settings: Any) -> Iterator[Running]:
    """Serve the toy in a child process, which is ended with the context; `settings` go to it and to gunicorn."""
    port = free_port()
    given = json.dumps({"workers": workers, "deadline": 60, **settings})
    process = subprocess.Popen([sys.executable, str(Path(__file__)), str(port), given], cwd=ROOT)
    try:
        give_up = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError):
                Running(process, port).ask("/quick/echo")
                break
            assert process.poll() is None and time.monotonic() < give_up, "the server does not start"
            time.sleep(0.02)
        yield Running(process, port)
    finally:
        process.terminate()
        process.wait(timeout=60)


def main() -> None:
    """Serve."""
    sys.path.insert(0, str(ROOT))
    from gunicorn.app.base import BaseApplication

    from service.server import connection, crowd, incoming, outgoing, pace, stream, worker
    from service.server.arbiter import Arbiter

    port, settings = int(sys.argv[1]), json.loads(sys.argv[2])
    for module in (connection, crowd, incoming, outgoing, pace, stream, worker):
        for name, value in settings.items():
            if hasattr(module, name):
                setattr(module, name, value)

    class Server(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            self.cfg.set("bind", f"127.0.0.1:{port}")
            self.cfg.set("worker_class", worker.Worker)
            self.cfg.set("loglevel", "critical")
            self.cfg.set("control_socket_disable", True)
            for name in ("workers", "timeout", "graceful_timeout"):
                if name in settings:
                    self.cfg.set(name, settings[name])

        def load(self) -> Any:
            while Path(settings.get("slow", "")).is_file():
                time.sleep(0.05)
            return Toy(settings)

        def run(self) -> None:
            Arbiter(self).run()

    logging.disable()
    worker.fork_without_losing_signals()
    Server().run()


if __name__ == "__main__":
    main()

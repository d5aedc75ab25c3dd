"""Starting the service and telling where it answers."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from service import bundle, config, contents
from service.errors import BundleError, DataError, NoModelError
from service.files import locked
from service.registry import Registry
from service.web.catalogue import curl
from workshop.menu import typed
from workshop.verification import promoting

PATIENCE = 30


def whole(option: str, text: str, most: int) -> int:
    """Return an option's whole number, or raise DataError unless it lies between 1 and `most`."""
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise DataError(f"{option} must be a whole number between 1 and {most}, got {text[:40]!r}")
    return int(text)


def check_free(host: str, port: int) -> None:
    """Raise DataError if nothing could listen on `host` and `port`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", "") or str(error)
        raise DataError(f"cannot listen on {host}:{port} ({why}): choose another with --port or --host") from error


def free_port() -> int:
    """Return a port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def claimed(host: str, port: int, folder: Path) -> Iterator[None]:
    """Hold a port for one service of a house; raise DataError if another has it or is about to.

    Looking whether the port is free is not enough: workers share theirs, so two services that start at once would
    share it, too.
    """
    check_free(host, port)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".serve-{port}.lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"another service is starting on port {port}: choose another with --port") from error
        yield


def serve(host: str, port: int, workers: int, registry: Registry) -> int:
    """Serve until told to stop, after running the pipeline if it never ran; return the server's exit code."""
    with claimed(host, port, registry.folder):
        with locked(registry.folder):  # of services that start at once, one runs the pipeline
            if not registry.models():
                from workshop.running import run_notebooks

                if not run_notebooks() and not registry.models():
                    return 1
        return run(host, port, workers, registry)


def run(host: str, port: int, workers: int, registry: Registry) -> int:
    """Serve until told to stop, saying where once a model answers; return the server's exit code."""
    words = ["--host", host, "--port", str(port), "--workers", str(workers)]
    # In a group of its own, so that Ctrl-C reaches this process alone, which stops the others in order.
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen([sys.executable, "-m", "service", *words], env=environ, process_group=0)
    with _ended_with_us(server):
        if _wait_until_ready(server, host, port, registry):
            base = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
            print(welcome(base, registry, server.pid), flush=True)
        return max(server.wait(), 0)


@contextmanager
def _ended_with_us(server: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the server in order when this process is told to end, when its terminal closes, and when it is killed."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup means that the terminal may close
            signal.signal(number, lambda received, frame: server.send_signal(signal.SIGTERM))
    # Nobody writes to it: its reading ends when this process does, however that comes about.
    words = ["sh", "-c", 'read -r nothing; kill -TERM "$0"', str(server.pid)]
    out = subprocess.DEVNULL
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=out, stderr=out, process_group=0) as watcher:
        try:
            yield
        finally:
            if server.poll() is None:
                server.terminate()
                server.wait()
            watcher.kill()


def welcome(base: str, registry: Registry, process: int) -> str:
    """Return the addresses to open, a command that asks for a prediction, and which process takes signals."""
    served = f"Serving on {base} (process {process})"
    lines = ["", served, f"  the models    {base}models", f"  one report    {base}models/{{}}/report", ""]
    default = config.read().default_model
    for name in sorted(registry.models(), key=lambda name: (name != default, name)):
        manifest = _manifest(registry, name)
        if not manifest:
            continue
        return "\n".join(lines).format(name) + f"\nAsk for a prediction:\n\n{curl(manifest, base)}\n\nStop with Ctrl-C."
    return "\n".join(lines[:2])


def _manifest(registry: Registry, name: str) -> contents.Manifest | None:
    """Return the manifest of the version that is served, the first sound one."""
    for version in registry.candidates_to_serve(name):
        with suppress(BundleError):
            return bundle.read(registry.place(name, version)).manifest
    return None


def _refusal(registry: Registry, detail: str) -> str:
    """Return why nothing can be served, in the service's own words if it tried something, and what to type."""
    models = registry.models()
    if not models or any(registry.candidates_to_serve(name) for name in models):
        return f"{detail}; {typed('verify')} says what to do"
    cure = promoting(registry, models[0], registry.versions(models[0])[-1])
    return f"no model can be served, for none was promoted: {cure} promotes one"


def _wait_until_ready(server: subprocess.Popen[bytes], host: str, port: int, registry: Registry) -> bool:
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    give_up = time.monotonic() + PATIENCE
    while server.poll() is None:
        connection = http.client.HTTPConnection(target, port, timeout=PATIENCE)
        try:
            connection.request("GET", "/health/ready")
            reply = connection.getresponse()
            if reply.status == 200:
                return True
            raise NoModelError(_refusal(registry, json.loads(reply.read())["detail"]))
        except OSError:
            if time.monotonic() > give_up:
                raise DataError(f"the service did not answer within {PATIENCE} s") from None
            time.sleep(0.02)
        finally:
            connection.close()
    return False

"""A worker process: one event loop that reads, answers what is answered at once, and gives the rest to threads."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.utils import formatdate
from io import BytesIO
from typing import Any

import uvloop
from gunicorn.workers import base

from service.calls import WAITING
from service.server.connection import Connection, Exchange

log = logging.getLogger("cellar")

THREADS = 4
"""Requests that are answered beside the event loop at the same time: long ones, and all that Flask answers."""
WAITING_THREADS = 32
"""Requests whose bodies are read, or whose replies are sent, as fast as a client takes part in it."""
AGAIN = 1.0
"""Seconds before a worker that broke down is replaced."""
SLICE = 0.001
"""Seconds for which requests are answered before the sockets are looked at again."""
EVERY = 1.0
"""Seconds between two looks at all connections."""
SHARE = 8
"""Of so many connections of its own one more may be taken at a time."""
LINGER = 1.0
"""Seconds that a connection without a request has left when the worker ends: the next may be on its way."""

M_ARENA_MAX = -8
"""Of glibc's malloc.h."""

TOLD = {signal.SIGTERM, signal.SIGQUIT, signal.SIGINT}
"""Signals by which the parent and the terminal say that it is time to end."""


def fork_without_losing_signals() -> None:
    """Have every process that this one forks hear what it is told before it can listen, once it can.

    Its parent's handlers would swallow it otherwise, and it would serve on.
    """
    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, TOLD),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, TOLD),
        after_in_child=_begin_anew,
    )


def _begin_anew() -> None:
    for number in TOLD:
        signal.signal(number, signal.SIG_DFL)


def _share_memory() -> None:
    """Keep glibc from giving threads arenas of their own, each of which keeps what it once took."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


class Worker(base.Worker):  # type: ignore[misc]
    """Gunicorn forks it, watches its heartbeat and tells it when to end."""

    def init_process(self) -> None:
        """Make the event loop, then the application; what cannot start yet is tried again after a while."""
        self.loop = uvloop.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.pool, self.slow = ThreadPoolExecutor(THREADS), ThreadPoolExecutor(WAITING_THREADS)
        self.connections: set[Connection] = set()
        self.ready: deque[Exchange] = deque()
        self.busy = 0
        self.scheduled = self.closing = False
        self.until = 0.0
        self.coming: set[asyncio.Task[Any]] = set()
        self._look_at_the_clock()
        _share_memory()
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        try:
            super().init_process()
        except Exception:
            log.exception("a worker broke down")
            time.sleep(AGAIN)
            sys.exit(1)  # gunicorn takes its own code for a failed start as a reason to end the others too

    def init_signals(self) -> None:
        """SIGTERM ends the worker when all is answered, SIGQUIT at once; Ctrl-C is for the parent to hear."""
        for number in set(self.SIGNALS) - TOLD:
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGWINCH, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
        self.loop.add_signal_handler(signal.SIGTERM, self.close)
        self.loop.add_signal_handler(signal.SIGQUIT, self.loop.stop)

    def run(self) -> None:
        """Serve until told to end."""
        self.most, self.limit = self.wsgi.config.max_table, self.wsgi.config.max_inflight
        name = self.sockets[0].sock.getsockname()
        self.base: dict[str, Any] = {
            "SCRIPT_NAME": "",
            "SERVER_NAME": str(name[0]),
            "SERVER_PORT": str(name[1]),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
        }
        for listener in self.sockets:
            listener.sock.setblocking(False)
            self.loop.add_reader(listener.sock.fileno(), self._accept, listener.sock)
        self._tick()
        self.loop.call_soon(signal.pthread_sigmask, signal.SIG_UNBLOCK, TOLD)
        self.loop.run_forever()
        for pool in (self.pool, self.slow):
            pool.shutdown(wait=False, cancel_futures=True)
        for connection in list(self.connections):
            connection.transport.abort()

    # ---- connections

    def _accept(self, listener: socket.socket) -> None:
        """Take connections: one, so that the other workers get theirs, or a share of those that are there."""
        for _ in range(1 + len(self.connections) // SHARE):
            if not self._accept_one(listener):
                return

    def _accept_one(self, listener: socket.socket) -> bool:
        try:
            client, _ = listener.accept()
        except (BlockingIOError, ConnectionError):
            return False
        except OSError as error:  # no descriptor is left: those who wait go on waiting
            log.warning("a connection cannot be taken: %s", error)
            self.loop.remove_reader(listener.fileno())
            self.loop.call_later(EVERY, self._listen, listener)
            return False
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self.loop.create_task(self.loop.connect_accepted_socket(lambda: Connection(self), client))
        self.coming.add(task)
        task.add_done_callback(self.coming.discard)
        return True

    def _listen(self, listener: socket.socket) -> None:
        if not self.closing:
            self.loop.add_reader(listener.fileno(), self._accept, listener)

    def _look_at_the_clock(self) -> None:
        self.now = time.monotonic()
        self.date = f"Date: {formatdate(usegmt=True)}\r\n"

    def _tick(self) -> None:
        self._look_at_the_clock()
        self.notify()
        if self.ppid != os.getppid():
            self.close()
        for connection in list(self.connections):
            if self.closing:
                connection.sweep(LINGER)
            else:
                connection.sweep()
        if self.closing and not (self.connections or self.coming):
            self.loop.stop()
            return
        self.loop.call_later(EVERY / 20 if self.closing else EVERY, self._tick)

    def close(self) -> None:
        """Take what waits to be taken, answer all that was sent, and end."""
        if self.closing:
            return
        self.closing = True
        for listener in self.sockets:
            self.loop.remove_reader(listener.sock.fileno())
            while self._accept_one(listener.sock):
                pass
            listener.close()
        self.loop.call_soon(self._tick)

    # ---- requests

    def submit(self, exchange: Exchange) -> None:
        """Have a request answered: soon, after what came before it; one too many hears so at once."""
        waiting = self.busy + len(self.ready) + 1
        exchange.environ[WAITING] = waiting
        if waiting > self.limit:
            self._answer_now(exchange)
            return
        self.ready.append(exchange)
        if not self.scheduled:
            self.scheduled = True
            self.loop.call_soon(self._answer)

    def call(self, function: Callable[..., Any], *args: Any) -> None:
        """Call a function in the event loop, from whatever thread."""
        self.loop.call_soon_threadsafe(function, *args)

    def _answer(self) -> None:
        """Answer requests in their order, but look at the sockets in between."""
        began, ready = time.perf_counter(), self.ready
        while ready:
            exchange = ready.popleft()
            if self.wsgi.is_quick(exchange.environ):
                self._answer_now(exchange)
            else:
                self.busy += 1
                pool = self.pool if type(exchange.environ["wsgi.input"]) is BytesIO else self.slow
                pool.submit(self._answer_beside, exchange)
            if time.perf_counter() - began > SLICE:
                break
        self.scheduled = bool(ready)
        if ready:
            self.loop.call_soon(self._answer)

    def _answer_now(self, exchange: Exchange) -> None:
        try:
            reply = self.wsgi(exchange.environ, exchange.start)
            if type(reply) is list:
                exchange.connection.finish(exchange, reply[0] if len(reply) == 1 else b"".join(reply))
                return
        except Exception:
            self._fail(exchange)
            return
        self.busy += 1
        self.slow.submit(self._send, exchange, reply)

    def _answer_beside(self, exchange: Exchange) -> None:
        try:
            reply = self.wsgi(exchange.environ, exchange.start)
        except Exception:
            self.call(self._fail, exchange)
            self.call(self._less_busy)
            return
        if type(reply) is list:
            self.call(exchange.connection.finish, exchange, b"".join(reply))
            self.call(self._less_busy)
        else:
            self.slow.submit(self._send, exchange, reply)

    def _send(self, exchange: Exchange, reply: Any) -> None:
        try:
            exchange.connection.send(exchange, reply)
        except ConnectionError:
            self.call(exchange.connection.transport.abort)
        except Exception:
            log.exception("a reply broke off")
            self.call(exchange.connection.transport.abort)
        finally:
            if hasattr(reply, "close"):
                reply.close()
            self.call(self._less_busy)

    def _less_busy(self) -> None:
        self.busy -= 1

    def _fail(self, exchange: Exchange) -> None:
        log.exception("a request failed outside of the application")
        exchange.start("500 Internal Server Error", [("Content-Type", "text/plain")])
        exchange.keep = False
        exchange.connection.finish(exchange, b"")

"""A worker process: one event loop that reads, answers what is answered at once, and gives the rest to threads."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import mmap
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
from typing import Any

import uvloop
from gunicorn.workers import base

from service.calls import REFUSED, WAITING, too_late
from service.server.connection import IDLE, Connection
from service.server.crew import Crew, started
from service.server.crowd import places
from service.server.exchange import Exchange
from service.server.listening import Listening, refuse_newcomers

log = logging.getLogger("cellar")

THREADS = 4
"""Requests that are answered beside the event loop at the same time: long ones, and all that Flask answers."""
PATIENT = 128
"""Requests that come at the same time while a thread waits for the rest, as clients please."""
START = 300
"""Seconds until a worker that does not even begin to serve is taken for hung."""
AGAIN = 1.0
"""Seconds before a worker that broke down is replaced."""
SLICE = 0.001
"""Seconds for which requests are answered before the sockets are looked at again."""
EVERY = 1.0
"""Seconds between two looks at all connections."""
LINGER = 1.0
"""Seconds that a connection without a request has left when the worker ends: the next may be on its way."""
STUCK = 2
"""Deadlines after which a thread that is still at a request is not waited for: the worker is replaced."""

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

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.closes = mmap.mmap(-1, 1)  # the parent sees when this byte is set

    def init_process(self) -> None:
        """Make the event loop, then the application, and serve; what cannot start yet is tried again after a while."""
        self.loop = uvloop.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.connections: set[Connection] = set()
        self.ready: deque[Exchange] = deque()
        self.scheduled = self.closing = False
        self.tasks: set[asyncio.Task[Any]] = set()
        self._look_at_the_clock()
        _share_memory()
        os.utime(self.tmp.fileno(), (self.now + START, self.now + START))
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self.places = places()
        code = 0
        try:
            self.whole = Crew(started(THREADS), THREADS)
            self.coming = Crew(ThreadPoolExecutor(PATIENT), PATIENT)
            self.senders = started(THREADS)
            super().init_process()
        except Exception:
            log.exception("a worker broke down")
            time.sleep(AGAIN)
            code = 1  # gunicorn takes its own code for a failed start as a reason to end the others too
        # No thread that hangs is waited for, and nothing of the parent's is put away that this is a copy of.
        os._exit(code)

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
        config = self.wsgi.config
        self.most, self.limit, self.deadline = config.max_table, config.max_inflight, config.deadline
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
        listeners = [listener.sock for listener in self.sockets]
        self.listening = Listening(self.loop, listeners, self.age, self._take)
        self._tick()
        self.loop.call_soon(signal.pthread_sigmask, signal.SIG_UNBLOCK, TOLD)
        self.loop.run_forever()
        self.wsgi.metrics.write()

    # ---- connections

    def _take(self, client: socket.socket) -> None:
        task = self.loop.create_task(self.loop.connect_accepted_socket(lambda: Connection(self), client))
        self.tasks.add(task)
        self._count()
        task.add_done_callback(self._taken)

    def _taken(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        self._count()

    def lost(self, connection: Connection) -> None:
        """Forget a connection that is gone, and its request if no thread has begun it."""
        self.connections.discard(connection)
        self._drop(connection.active)
        self._count()

    def _drop(self, exchange: Exchange | None) -> None:
        if exchange:
            self.whole.waiting.pop(exchange, None)
            self.coming.waiting.pop(exchange, None)

    def _count(self) -> None:
        self.listening.count(len(self.connections) + len(self.tasks))

    def _look_at_the_clock(self) -> None:
        self.now = time.monotonic()
        self.date = f"Date: {formatdate(usegmt=True)}\r\n".encode()

    def _tick(self) -> None:
        self.loop.call_later(EVERY / 20 if self.closing else EVERY, self._tick)
        self._look_at_the_clock()
        self.notify()
        if self.ppid != os.getppid():
            self._end_alone()
        self._end_the_late()
        self._end_the_slowest()
        for connection in list(self.connections):
            connection.sweep(LINGER if self.closing else IDLE)
        if self.closing and not (self.listening.sockets or self.connections or self.tasks):
            self.loop.stop()

    def close(self) -> None:
        """Take what waits to be taken, answer all that was sent, and end."""
        if self.closing:
            return
        self.closing, self.closes[0] = True, 1
        self.listening.close()
        self._look_at_the_clock()
        for connection in self.connections:
            connection.since = self.now
        self.loop.call_soon(self._tick)

    def _end_alone(self) -> None:
        """End because the parent is gone, which would have told all workers to."""
        for listener in self.listening.sockets:
            refuse_newcomers(listener)
        self.close()

    # ---- requests

    def submit(self, exchange: Exchange) -> None:
        """Have a request answered: soon, after those that wait for the same; one too many hears so at once."""
        try:
            quick = self._is_quick(exchange)
        except Exception as error:
            self.loop.call_soon(self.fail, exchange, error)
            return
        if exchange.environ[WAITING] > self.limit:
            self.loop.call_soon(self._answer_now, exchange)
        elif quick:
            self.ready.append(exchange)
            self._schedule()
        else:
            crew = self.coming if exchange.stream else self.whole
            crew.waiting[exchange] = self.now
            self._begin(crew)

    def _is_quick(self, exchange: Exchange) -> bool:
        """Return whether the event loop answers a request; take note of how many wait for that, or for a thread."""
        environ = exchange.environ
        environ[WAITING] = len(self.ready) + 1
        quick: bool = self.wsgi.is_quick(environ)
        if not quick:
            environ[WAITING] = 1 + (self._count_coming() if exchange.stream else len(self.whole.requests))
        return quick

    def _count_coming(self) -> int:
        """Return how many long bodies wait for this worker, and not for their clients."""
        return sum(not (each.stream and each.stream.waits) for each in self.coming.requests)

    def _begin(self, crew: Crew) -> None:
        """Have threads begin what waits for them."""
        while exchange := crew.next():
            try:
                crew.pool.submit(self._answer_beside, exchange, crew)
            except Exception as error:  # such as that there is no thread to be had
                del crew.running[exchange]
                self.loop.call_soon(self.fail, exchange, error)

    def _ended(self, exchange: Exchange, crew: Crew) -> None:
        crew.running.pop(exchange, None)
        self._begin(crew)

    def call(self, function: Callable[..., Any], *args: Any) -> None:
        """Call a function in the event loop, from whatever thread."""
        self.loop.call_soon_threadsafe(function, *args)

    def beside(self, function: Callable[[], Any]) -> None:
        """Call a function in one of the threads that make replies in pieces."""
        self.senders.submit(function)

    def fail(self, exchange: Exchange, error: BaseException) -> None:
        """Tell of a request that could not be answered."""
        log.error("a request failed outside of the application", exc_info=error)
        if exchange.opened:
            exchange.connection.break_off(exchange)
        else:
            exchange.start("500 Internal Server Error", [("Content-Type", "text/plain")])
            exchange.connection.finish(exchange, b"")

    def _schedule(self) -> None:
        if self.ready and not self.scheduled:
            self.scheduled = True
            self.loop.call_soon(self._answer)

    def _answer(self) -> None:
        """Answer requests in their order, but look at the sockets in between."""
        began, self.scheduled = time.perf_counter(), False
        try:
            while self.ready and time.perf_counter() - began < SLICE:
                self._answer_now(self.ready.popleft())
        finally:
            self._schedule()

    def _answer_now(self, exchange: Exchange) -> None:
        try:
            reply = self.wsgi(exchange.environ, exchange.start)
            if type(reply) is list:
                exchange.connection.finish(exchange, reply[0] if len(reply) == 1 else b"".join(reply))
            else:
                exchange.connection.send(exchange, reply)
        except Exception as error:
            self.fail(exchange, error)

    def _answer_beside(self, exchange: Exchange, crew: Crew) -> None:
        try:
            if exchange is not exchange.connection.active:
                return  # its client is gone, or was told that it took too long
            reply = self.wsgi(exchange.environ, exchange.start)
            if type(reply) is list:
                self.call(exchange.connection.finish, exchange, b"".join(reply))
            else:
                self.call(exchange.connection.send, exchange, reply)
        except Exception as error:
            self.call(self.fail, exchange, error)
        finally:
            self.call(self._ended, exchange, crew)

    def _end_the_slowest(self) -> None:
        """Where bodies that come slowly take the threads of others, end those that were waited for longest."""
        coming = self.coming.requests
        slow = [(each.stream.waited(), each.connection) for each in coming if each.stream and each.stream.waits]
        slow.sort(key=lambda each: each[0], reverse=True)
        for _, connection in slow[: max(0, len(coming) - PATIENT)]:
            connection.refuse(503, "others send faster, and too many send at once: try again")

    def _end_the_late(self) -> None:
        """Tell who waits for longer than the deadline, though the thread cannot be told; replace what hangs."""
        for exchange, came in (self.whole.requests | self.coming.requests).items():
            took = self.now - came - (exchange.stream.waited() if exchange.stream else 0)
            if took > self.deadline:
                self._tell_too_late(exchange)
            if took > STUCK * (self.deadline + EVERY) and not self.closing:
                log.error("a thread hangs at %s: the worker is replaced", exchange.environ["PATH_INFO"][:200])
                self.close()
                self.loop.call_later(self.deadline, self.loop.stop)  # nobody else ends it where a client goes on

    def _tell_too_late(self, exchange: Exchange) -> None:
        self._drop(exchange)
        connection = exchange.connection
        if connection.active is exchange:
            told = {**exchange.environ, REFUSED: too_late(self.deadline), WAITING: 1}
            connection.active = Exchange(connection, told, exchange.keep)
            self._answer_now(connection.active)

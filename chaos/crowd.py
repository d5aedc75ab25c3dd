"""Many clients at the same time, in threads or in processes of their own, and what they saw together."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection

from chaos.clients import Client, Seen

GIVE_UP = 30
"""Seconds within which somebody has to be answered."""


@contextmanager
def asking(clients: Sequence[Client], apart: bool = False) -> Iterator[None]:
    """Have clients ask while the context lasts, each in a thread, or `apart`, in a process of its own."""
    with _processes(clients) if apart else _threads(clients):
        try:
            yield
        finally:
            for client in clients:
                client.ended.set()


@contextmanager
def _threads(clients: Sequence[Client]) -> Iterator[None]:
    threads = [threading.Thread(target=client.run, daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()


@contextmanager
def _processes(clients: Sequence[Client]) -> Iterator[None]:
    """Run clients in processes; what they saw comes back when they end."""
    context = multiprocessing.get_context("fork")
    ended, pipes = context.Event(), [context.Pipe(duplex=False) for _ in clients]
    for client in clients:
        client.ended = ended
    processes = [
        context.Process(target=_run, args=(client, theirs)) for client, (_, theirs) in zip(clients, pipes, strict=True)
    ]
    for process in processes:
        process.start()
    for _, theirs in pipes:
        theirs.close()
    try:
        yield
    finally:
        for client, (ours, _) in zip(clients, pipes, strict=True):
            client.seen = ours.recv()
        for process in processes:
            process.join()


def _run(client: Client, pipe: Connection) -> None:
    client.run()
    pipe.send(client.seen)


def wait_for_answers(clients: Sequence[Client], more: int) -> None:
    """Wait until so many more requests were answered; RuntimeError if nobody answers."""
    wanted, give_up = sum(client.seen.answered for client in clients) + more, time.monotonic() + GIVE_UP
    while sum(client.seen.answered for client in clients) < wanted:
        if time.monotonic() > give_up:
            raise RuntimeError("no request is answered")
        time.sleep(0.001)


def told(clients: Iterable[Client]) -> Seen:
    """Return what all clients saw together."""
    seen = [client.seen for client in clients]
    return Seen(
        *(sum(getattr(each, name) for each in seen) for name in ("connections", "answered", "refused")),
        *([told for each in seen for told in getattr(each, name)] for name in ("lost", "wrong", "seconds", "notes")),
    )

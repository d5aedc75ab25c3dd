from __future__ import annotations

import itertools

import pytest
from test_chaos_clients import GOOD, SENT, answering

from chaos.clients import Client, Lost, Request, Seen
from chaos.crowd import asking, told, wait_for_answers


@pytest.mark.parametrize("apart", [False, True])
def test_a_crowd_asks_until_the_context_ends(apart: bool):
    """In threads or processes: each client asks as often as it has to, and what all noted is told together."""
    judges = [lambda reply, name=name: (name, reply.status) for name in "ab"]
    with answering(lambda _: GOOD) as port:
        clients = [Client(port, itertools.repeat(Request(SENT, judge)), least=20) for judge in judges]
        with asking(clients, apart):
            if not apart:
                wait_for_answers(clients, 10)
        seen = told(clients)
    assert min(client.seen.answered for client in clients) >= 20
    assert seen.answered == len(seen.notes) == len(seen.seconds) and set(seen.notes) == {("a", 200), ("b", 200)}


def test_what_was_seen_adds_up():
    """Counts are summed and lists joined."""
    clients = [Client(0, []) for _ in range(2)]
    clients[0].seen, clients[1].seen = Seen(1, 2, 3, [Lost(4, "x")], ["y"]), Seen(10, 20, 30, [], ["z"])
    assert told(clients) == Seen(11, 22, 33, [Lost(4, "x")], ["y", "z"])


def test_an_answer_that_never_comes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    """Where nobody answers, the wait ends with an error."""
    monkeypatch.setattr("chaos.crowd.GIVE_UP", 0.01)
    with pytest.raises(RuntimeError, match="no request is answered"):
        wait_for_answers([Client(0, [])], 1)

"""How many connections a worker has, and which of them goes when there is one too many."""

from __future__ import annotations

import resource
from typing import Any

CONNECTIONS = 1024
"""Connections that a worker has at most: each may hold some megabytes."""
FILES = 3
"""Descriptors that a connection may need: its own, one for a long body and one for a long reply."""
STILL = 5
"""Seconds without a byte after which a body that is coming, or a reply that is being taken, keeps nobody out."""


def places() -> int:
    """Return how many connections this process takes, so that it has the descriptors for all of them."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS if most == resource.RLIM_INFINITY else min(CONNECTIONS, most // FILES)


def make_room(connections: set[Any], places: int, newcomer: Any) -> bool:
    """End some until there are places enough, return False if there are not.

    Those that never asked go first, then those that were answered longest ago. None goes that waits for an answer, or
    whose body or reply moves.
    """
    while len(connections) > places:
        spare = [each for each in connections if each is not newcomer and each.is_spare()]
        if not spare:
            return False
        oldest = min(spare, key=lambda each: (each.asked, each.answered))
        connections.discard(oldest)
        oldest.transport.abort()
    return True

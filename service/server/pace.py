"""How slow a client may be while it is waited for."""

from __future__ import annotations

PATIENCE = 30
"""Seconds without a byte after which a client is given up."""
SLOWEST = 4096
"""Bytes a second that a request, or the taking of a reply, has to reach on average after PATIENCE."""


def is_too_slow(now: float, begun: float, moved: float, count: int) -> bool:
    """Whether a client is given up.

    It is waited for since `begun`, its last byte moved at `moved`, and `count` bytes in all; times are in seconds.
    """
    return now - moved > PATIENCE or count < (now - begun - PATIENCE) * SLOWEST

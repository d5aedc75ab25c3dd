"""What a worker counts of its requests, as it is kept and written down."""

from __future__ import annotations

import msgspec

FOLDER = "CELLAR_METRICS"
"""The variable by which the server names to its workers the folder in which they add up what they count."""

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
LIMITS = [1000 * limit for limit in SECONDS]


class Series(msgspec.Struct):
    """The requests of one route, model and status: how many took how long, `counts` by LIMITS and one beyond."""

    labels: tuple[str, str, str]
    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(LIMITS) + 1))
    seconds: float = 0.0


class Figures(msgspec.Struct):
    """All that one worker counted, and what it is at now."""

    requests: list[Series] = []
    rows: list[tuple[str, str, int]] = []
    errors: dict[str, int] = {}
    reloads: list[tuple[str, str, int]] = []
    versions: dict[str, int] = {}
    inflight: int = 0

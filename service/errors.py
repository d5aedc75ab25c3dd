"""What can go wrong, as one tree: each class owns its HTTP status, each message says what, where and the cure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import msgspec

SHOWN = 20
"""How many problems of one request are told."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing wrong with one value: `row` counts from 0."""

    reason: str
    row: int | None = None
    field: str | None = None
    value: bool | int | float | str | None = None

    def __str__(self) -> str:
        where = "" if self.row is None else f"row {self.row}: "
        what = "" if self.field is None else f"{self.field!r} "
        return f"{where}{what}{self.reason}"


def meant(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return the question whether the nearest of the known names was meant, `otherwise` if none is near."""
    close = difflib.get_close_matches(name[:80], known, n=1)
    return f"did you mean {close[0]!r}?" if close else otherwise


class CellarError(Exception):
    """Raised if Cellar cannot do what it was asked."""

    status = 500
    title = "The service failed"

    def _render_traceback_(self) -> list[str]:
        # IPython shows this in place of a traceback: the reader of a notebook gets the sentence.
        return [f"{type(self).__name__}: {self}"]


class DataError(CellarError):
    """Raised if a table, its card or a parameter cannot be used for training."""

    status = 422
    title = "The data cannot be used"


class BundleError(CellarError):
    """Raised if a bundle is incomplete, damaged or does not answer as it did when it was made."""

    status = 503
    title = "The model cannot be used"


class LoadingError(CellarError):
    """Raised if a version can be asked for in a moment: it is tried first."""

    status = 503
    title = "Not loaded yet"


class NoModelError(CellarError):
    """Raised if no version of a model can be served yet."""

    status = 503
    title = "No usable model yet"


class ExplanationError(CellarError):
    """Raised if a version keeps no rows to explain its predictions by."""

    status = 409
    title = "Cannot be explained"


class PromotionError(CellarError):
    """Raised if a version cannot become champion."""

    status = 409
    title = "Not promoted"


class StorageError(CellarError):
    """Raised if the disk refuses what is to be written."""

    title = "Not written"


class BusyError(StorageError):
    """Raised if somebody else keeps writing where something is to be written."""

    status = 503
    title = "Somebody else is writing"


class RequestError(CellarError):
    """Raised if a request cannot be read: the fault is the caller's."""

    status = 400
    title = "Bad request"


def check_names(what: str, given: Iterable[str], known: Sequence[str]) -> None:
    """Raise RequestError at a name that is none of the known ones, with the nearest of them or all; `what` it names."""
    for name in given:
        if name not in known:
            near = meant(name, known, f"known are {', '.join(known)}")
            raise RequestError(f"{what}{name[:40]!r} is not known; {near}")


class InputError(RequestError):
    """Raised if rows do not fit the model's features; `problems` lists what is wrong with them."""

    status = 422
    title = "The rows do not fit the model"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems[:SHOWN])
        others = "many" if len(problems) > SHOWN else len(problems) - 1
        more = f" (and {others} more)" if others else ""
        super().__init__(f"{self.problems[0]}{more}")


class NotFoundError(RequestError):
    """Raised if there is no such model, version or page."""

    status = 404
    title = "Not found"


class TooLargeError(RequestError):
    """Raised if a request holds more rows or bytes than the service takes."""

    status = 413
    title = "Too large"


class MediaTypeError(RequestError):
    """Raised if a body comes in a media type that is not spoken here."""

    status = 415
    title = "Media type not spoken"


class SlowError(RequestError):
    """Raised if a request's body comes more slowly than the service waits for it."""

    status = 408
    title = "Request Timeout"


class UnauthorizedError(RequestError):
    """Raised if a request lacks the token that it needs; `challenge` is how a client may send it."""

    status = 401
    title = "Not authorised"
    challenge = 'Basic realm="Cellar", Bearer'


class ControlTokenError(UnauthorizedError):
    """Raised if a request that changes what is served lacks its token: a browser is not to ask a person for it."""

    challenge = 'Bearer realm="Cellar"'


class ForbiddenError(RequestError):
    """Raised if a request comes from where it may not."""

    status = 403
    title = "Not allowed"


class OverloadError(CellarError):
    """Raised if more requests are being answered than the service takes at once."""

    status = 503
    title = "Too many requests at once"


class DeadlineError(CellarError):
    """Raised if a request takes longer than the service gives it."""

    status = 504
    title = "Too slow"

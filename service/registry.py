"""The folder of bundles: which models and versions there are, which is champion, and how it came to be."""

from __future__ import annotations

import getpass
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import msgspec

from service import bundle
from service.errors import BundleError, BusyError, NotFoundError, PromotionError, StorageError, meant
from service.files import read_regular, replace_file, sync, writing

CHAMPION, HISTORY = "champion", "history.jsonl"
LONGEST = {CHAMPION: 64 << 10, HISTORY: 64 << 20}
"""The most bytes of each, far more than a champion and 100,000 promotions take."""
PROMOTE, ROLLBACK = "promote", "rollback"
PATIENCE = 10.0
"""Seconds in which those who write to a model's folder have to be done."""
ANY = -1
"""Whichever champion there is."""


class Event(msgspec.Struct, frozen=True):
    """One line of a model's history."""

    at: str
    action: str
    version: int
    previous: int | None
    by: str
    reason: str


class Registry:
    """The bundles below one folder, `<folder>/<model>/<version>/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """Return the names of the models that have a version of any kind, damaged ones and candidates too.

        What has a model's name and is no folder, or one that cannot be read, is among them: it raises BundleError when
        it is asked for more. So does the folder of all models where it cannot be read.
        """
        try:
            names = list(filter(bundle.MODEL_NAME.fullmatch, os.listdir(self.folder)))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise bundle.unreadable(self.folder, 1, error) from error
        return sorted(name for name in names if self.fault(name) or bundle.versions(self.home(name)))

    def fault(self, model: str) -> str:
        """Return why nothing of `model` can be read, "" where its folder can be."""
        try:
            bundle.versions(self.home(model))
        except BundleError as error:
            return str(error)
        return ""

    def models(self) -> list[str]:
        """Return the names of the models that have at least one published version."""
        return [name for name in self.names() if not self.fault(name) and self.versions(name)]

    def versions(self, model: str) -> list[int]:
        """Return the published versions of `model`, in order."""
        return [n for n in bundle.versions(self.home(model)) if bundle.is_published(self.place(model, n))]

    def candidates(self, model: str) -> list[int]:
        """Return the versions of `model` that are not published, in order."""
        published = self.versions(model)
        return [n for n in bundle.versions(self.home(model)) if n not in published]

    def home(self, model: str) -> Path:
        """Return the folder of `model`, or raise NotFoundError if that cannot be a model's name."""
        if not bundle.MODEL_NAME.fullmatch(model):
            raise self.unknown(model)
        return self.folder / model

    def check_model(self, model: str) -> None:
        """Raise NotFoundError, with the nearest name, unless `model` has a published version."""
        if not self.versions(model):
            raise self.unknown(model)

    def unknown(self, model: str) -> NotFoundError:
        """Return the error for a name that no model with a published version has."""
        known = self.models()
        listed = f"the models are {', '.join(known)}" if known else "nothing is published yet, run the pipeline"
        return NotFoundError(f"no model is called {model[:80]!r}; {meant(model, known, listed)}")

    def place(self, model: str, version: int) -> Path:
        """Return the folder of one version."""
        return self.home(model) / str(version)

    def champion(self, model: str) -> int | None:
        """Return the version that is to be served, or None if none was promoted."""
        try:
            return int(_lines(self.home(model) / CHAMPION)[0])
        except (IndexError, ValueError):
            return None

    def lost_champion(self, model: str) -> str:
        """Return what is wrong with the pointer of a model that had a champion and now has none, "" if nothing is."""
        if self.champion(model) is not None or not self.history(model):
            return ""
        return f"{model}/{CHAMPION} is missing or names no version: promote one"

    def history(self, model: str) -> list[Event]:
        """Return what happened to `model`, oldest first; a line that cannot be read is passed over."""
        lines = chain.from_iterable(_recorded_and_not(self.home(model)))
        return [event for line in lines if (event := _event(line))]

    def unreadable_lines(self, model: str) -> list[int]:
        """Return which lines of the history cannot be read, counted from 1; blank ones are none."""
        lines = _lines(self.home(model) / HISTORY)
        return [at for at, line in enumerate(lines, 1) if line and not _event(line)]

    def promote(
        self,
        model: str,
        version: int,
        reason: str,
        action: str = PROMOTE,
        over: int | None = ANY,
        by: str = "",
        until: float = math.inf,
    ) -> None:
        """Make a published `version` champion, with the reason on record, and `by` whom, else who runs this process.

        Raise PromotionError if it is not published, or if `over` names another champion than there is by now; BusyError
        if it does not come to write within ten seconds, or `until` a time of the monotonic clock.
        """
        self._check_published(model, version)
        home = self.home(model)
        with _faults_told(home), writing(home, min(until, time.monotonic() + PATIENCE)):
            self._check_published(model, version)  # it may have been pruned meanwhile
            previous = self.champion(model)
            if over not in (ANY, previous):
                raise PromotionError(f"{model} has another champion by now, version {previous}: compare with that one")
            _record(home)
            at = datetime.now(UTC).isoformat(timespec="microseconds")
            event = Event(at, action, version, previous, by=by or _who(), reason=reason)
            replace_file(home / CHAMPION, b"%d\n%b\n" % (version, msgspec.json.encode(event)))
            # It has happened and is told by the pointer: what goes wrong from here on, the next promotion mends.
            with suppress(OSError, BundleError):
                _record(home)

    def rollback(
        self,
        model: str,
        reason: str = "rollback",
        sound: Callable[[int], bool] = lambda version: True,
        by: str = "",
        until: float = math.inf,
    ) -> int:
        """Make the champion that the present one was promoted over champion again and return its version.

        One that is not `sound` is passed, on record, for the one before it; PromotionError if none is left.
        """
        now, passed = self.champion(model), list[int]()
        version = self.champion_before(model, now)
        while version is not None and version not in passed and not sound(version):
            passed.append(version)
            version = self.champion_before(model, version)
        damaged = ", ".join(map(str, passed))
        if version is None or version in passed:
            told = f" that is sound (damaged: {damaged})" if passed else ""
            raise PromotionError(f"{model} has no earlier champion{told} to go back to")
        past = f" (past version {damaged}, damaged)" if passed else ""
        self.promote(model, version, reason + past, ROLLBACK, now, by, until)
        return version

    def champion_before(self, model: str, version: int | None) -> int | None:
        """Return the published champion that `version` was promoted over last, or None: where a rollback leads."""
        published = set(self.versions(model))
        # Only promotions count: to go back twice must not return to what was gone back from.
        promotions = [event for event in self.history(model) if event.action == PROMOTE and event.version == version]
        before = [event.previous for event in reversed(promotions)]
        return next((number for number in before if number in published and number != version), None)

    def _check_published(self, model: str, version: int) -> None:
        published = self.versions(model)
        if version not in published:
            known = ", ".join(map(str, published)) or "none"
            raise PromotionError(f"{model} has no published version {version} (published: {known})")

    def candidates_to_serve(self, model: str) -> list[int]:
        """Return the versions to try, best first: the champion, then earlier champions, the latest first.

        Those that somebody went back from come last.
        """
        there, history = set(bundle.versions(self.home(model))), list[Event]()
        with suppress(BundleError):  # without its history there is the champion at least
            history = self.history(model)
        rejected = _rejected(history)
        earlier = [event.version for event in reversed(history)]
        order = [self.champion(model), *sorted(earlier, key=lambda version: version in rejected)]
        return [n for n in dict.fromkeys(order) if n in there and n is not None]


def _rejected(history: list[Event]) -> set[int]:
    """Return the versions that somebody went back from and nobody promoted since."""
    found = set[int]()
    for event in history:
        if event.action == ROLLBACK and event.previous is not None:
            found.add(event.previous)
        found.discard(event.version)
    return found


@contextmanager
def _faults_told(home: Path) -> Iterator[None]:
    """Tell what the disk refuses as StorageError, and a lock that was not had as BusyError."""
    try:
        yield
    except BlockingIOError as error:
        raise BusyError(f"somebody else is writing to {home.name}, nothing is changed: try again") from error
    except OSError as error:
        raise StorageError(f"{home.name} cannot be written ({error.strerror}): mend that and try again") from error


def _record(home: Path) -> None:
    """Append the promotion that the pointer tells of to the history, unless it stands there."""
    for line in _recorded_and_not(home)[1]:
        with (home / HISTORY).open("ab+") as file:
            # A line that a crash cut short must not swallow this one.
            torn = file.tell() > 0 and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n"
            file.write(b"\n" * torn + line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        sync(home)


def _recorded_and_not(home: Path) -> tuple[list[bytes], list[bytes]]:
    """Return the lines of the history, and the one below the champion's number if a crash kept it from being there."""
    # In this order: another promotion may come between the two, and its line needs the one before it.
    latest, lines = _lines(home / CHAMPION)[1:2], _lines(home / HISTORY)
    return lines, [line for line in latest if line not in lines]


def _lines(path: Path) -> list[bytes]:
    """Return the lines of a file, none if it is not there; BundleError if it cannot be read."""
    try:
        return read_regular(path, LONGEST[path.name]).splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise bundle.unreadable(path, 2, error) from error


def _event(line: bytes) -> Event | None:
    try:
        return msgspec.json.decode(line, type=Event)
    except ValueError:  # not JSON, another shape, or not UTF-8
        return None


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"

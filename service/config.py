"""The service's settings: defaults, then `CELLAR_*` environment variables, then what the caller gives."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from service.errors import CellarError

ROOT = Path(__file__).resolve().parent.parent

VERSION = "0.1.0"
"""Of the service, as the protocols that ask for one are told."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Folders and limits; every field is also the environment variable `CELLAR_<FIELD>`."""

    data: Path = ROOT / "data"
    artifacts: Path = ROOT / "artifacts"
    reports: Path = ROOT / "reports"
    default_model: str = "wine"
    max_body: int = 64 * 1024 * 1024
    max_rows: int = 100_000
    max_table: int = 4 * 1024 * 1024 * 1024
    max_inflight: int = 64
    deadline: float = 60.0
    poll: float = 1.0
    max_memory: int = 2 * 1024 * 1024 * 1024
    read_token: str = ""
    token: str = ""
    log: Literal["requests", "values", "errors"] = "requests"


def read(given: Mapping[str, Any] | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """Return the settings, or raise CellarError naming the variable that cannot be used."""
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(Config):
        variable = f"CELLAR_{field.name.upper()}"
        if environ.get(variable):
            values[field.name] = _convert(environ[variable], field.type, variable)
    found = msgspec.convert({**values, **(given or {})}, Config, dec_hook=lambda kind, value: kind(value))
    if not 0 < found.poll < math.inf:
        raise CellarError(f"CELLAR_POLL must be a number of seconds above 0, got {found.poll}")
    if not found.deadline < math.inf:
        raise CellarError(f"CELLAR_DEADLINE must be a finite number of seconds, got {found.deadline}")
    # Flask would look for a relative folder beside its own code.
    folders = {
        name: path.expanduser().resolve()
        for name, path in msgspec.structs.asdict(found).items()
        if isinstance(path, Path)
    }
    return msgspec.structs.replace(found, **folders)


def _convert(text: str, kind: Any, variable: str) -> Any:
    choices = get_args(kind)
    try:
        if choices and text not in choices:
            raise ValueError
        return text if choices else kind(text)
    except ValueError as error:
        wanted = {int: "a whole number", float: "a number"}.get(kind) or f"one of {', '.join(choices)}"
        raise CellarError(f"{variable} must be {wanted}, got {text!r}") from error

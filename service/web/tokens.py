"""Bearer tokens and passwords: what a request carries, compared without telling how much of it was right."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable, Mapping
from typing import Any

BEARER, BASIC = "bearer", "basic"


def carries(environ: Mapping[str, Any], tokens: Iterable[str], schemes: Iterable[str] = (BEARER, BASIC)) -> bool:
    """Whether a WSGI request carries one of `tokens` by one of `schemes`; an empty token is carried by none."""
    scheme, _, text = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    given = text.encode("latin-1", "replace")
    if scheme.lower() not in schemes:
        return False
    if scheme.lower() == BASIC:  # what a browser asks a person for, under any name
        try:
            given = base64.b64decode(given).partition(b":")[2]
        except binascii.Error:
            return False
    return any(hmac.compare_digest(given, token.encode()) for token in tokens if token)

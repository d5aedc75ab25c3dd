from __future__ import annotations

import base64

import pytest

from service.web.tokens import BASIC, BEARER, carries


def sent(scheme: str, token: str) -> dict[str, str]:
    """Return a request that carries a token, as a WSGI server hands it on."""
    given = token.encode()
    text = base64.b64encode(b"anyone:" + given).decode() if scheme.lower() == BASIC else given.decode("latin-1")
    return {"HTTP_AUTHORIZATION": f"{scheme} {text}"}


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Basic", "basic"])
@pytest.mark.parametrize("token", ["secret", "sésame", "with blank"])
def test_one_of_the_tokens_is_enough(scheme: str, token: str):
    """As a bearer or as the password of any name, in whatever letters the scheme is written."""
    assert carries(sent(scheme, token), ["other", token])
    assert not carries(sent(scheme, token), ["other", token[:-1], token + "x"])


def test_a_scheme_may_be_asked_for():
    """Where only a bearer counts, a browser's password does not."""
    assert carries(sent("Bearer", "secret"), ["secret"], [BEARER])
    assert not carries(sent("Basic", "secret"), ["secret"], [BEARER])


@pytest.mark.parametrize(
    "text", [None, "", "secret", "Bearer", "Bearer ", "Basic %%%", "Basic", "Digest secret", "Bearer  secret"]
)
def test_what_is_no_token_opens_nothing(text: str | None):
    """A header that is missing, odd or empty carries none, not even an empty token."""
    environ = {} if text is None else {"HTTP_AUTHORIZATION": text}
    assert not carries(environ, ["secret", ""])
    assert not carries(environ, [])

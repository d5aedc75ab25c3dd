from __future__ import annotations

import base64
import json
import shutil
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import requests
from conftest import changed
from flask.testing import FlaskClient

from chaos.serving import serving
from service.app import create_app
from service.files import locked
from service.registry import Registry

TOKEN = "a-tökén"
BEARER = {"Authorization": f"Bearer {TOKEN}".encode().decode("latin-1")}
BODY = {"version": 2, "reason": "it is better"}
PROMOTE, ROLLBACK = "/models/wine/promote", "/models/wine/rollback"


@pytest.fixture
def registry(artifacts: Path) -> Registry:
    """`wine` in versions 1, which is champion, and 2."""
    shutil.copytree(artifacts / "wine" / "1", artifacts / "wine" / "2")
    return Registry(artifacts)


@pytest.fixture
def local(registry: Registry, tmp_path: Path) -> FlaskClient:
    """A client on the service's own machine, of a service without a token."""
    return create_app({"artifacts": registry.folder, "reports": tmp_path}).test_client()


@pytest.fixture
def guarded(registry: Registry, tmp_path: Path) -> FlaskClient:
    """A client of a service that asks for a token."""
    return create_app({"artifacts": registry.folder, "reports": tmp_path, "token": TOKEN}).test_client()


def unchanged(registry: Registry) -> bool:
    """Say whether nobody promoted anything."""
    return registry.champion("wine") == 1 and len(registry.history("wine")) == 1


def test_promotion_and_rollback(local: FlaskClient, registry: Registry):
    """Each changes the champion and answers with both and the event, which is the history's last line."""
    reply = local.post(PROMOTE, json=BODY)
    assert (reply.status_code, registry.champion("wine")) == (200, 2)
    event = local.get("/models/wine/versions").json["history"][-1]
    assert reply.json == {"model": "wine", "champion": 2, "previous": 1, "event": event}
    assert (event["action"], event["reason"]) == ("promote", "it is better")
    reply = local.post(ROLLBACK, json={"reason": "it was worse"})
    assert (reply.json["champion"], reply.json["previous"], reply.json["event"]["action"]) == (1, 2, "rollback")
    assert registry.champion("wine") == 1 and registry.history("wine")[-1].reason == "it was worse"


@pytest.mark.parametrize("limit", ["patience", "deadline"])
def test_what_was_refused_is_not_done_later(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
):
    """While somebody else writes, the answer is 503 within the time there is, and nothing is promoted afterwards."""
    monkeypatch.setattr("service.registry.PATIENCE", 0.2 if limit == "patience" else 600)
    deadline = 0.5 if limit == "deadline" else 60
    client = create_app({"artifacts": registry.folder, "reports": tmp_path, "deadline": deadline}).test_client()
    with locked(registry.home("wine")):
        reply = client.post(PROMOTE, json=BODY)
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "1")
    assert reply.json["detail"] == "somebody else is writing to wine, nothing is changed: try again"
    assert unchanged(registry)


@pytest.mark.slow
def test_who_was_told_that_it_took_too_long_promoted_nothing(registry: Registry, tmp_path: Path):
    """The server's own 504 holds, too: once the lock is free, what waited for it has ended."""
    with serving(registry.folder, tmp_path, deadline=3) as server:
        with locked(registry.home("wine")):
            address = f"{server.address}{PROMOTE}"
            assert requests.post(address, json=BODY, timeout=30).status_code in (503, 504)
        assert requests.post(f"{server.address}{ROLLBACK}", json={}, timeout=30).status_code == 409
        assert unchanged(registry)


def test_the_champion_stays_champion(local: FlaskClient, registry: Registry):
    """To promote what is champion already is answered with the present state, and writes no event."""
    reply = local.post(PROMOTE, json={"version": 1, "reason": "a whim"})
    assert (reply.status_code, reply.json) == (200, {"model": "wine", "champion": 1, "previous": 1, "event": None})
    assert unchanged(registry)


def test_the_history_says_from_where_it_was_asked(guarded: FlaskClient, registry: Registry):
    """Not the service's own user but the caller's address is who did it."""
    asked: Any = {"headers": BEARER, "environ_base": {"REMOTE_ADDR": "203.0.113.7"}}
    assert guarded.post(PROMOTE, json=BODY, **asked).json["event"]["by"] == "http from 203.0.113.7"
    assert guarded.post(ROLLBACK, json={}, **asked).json["event"]["by"] == "http from 203.0.113.7"
    assert [event.by for event in registry.history("wine")[1:]] == ["http from 203.0.113.7"] * 2


@pytest.mark.parametrize(
    ("query", "body", "told"),
    [
        ("?version=2", BODY, "the query's parameter 'version' is not known: ask by the body, as in {\"version\":3,"),
        ("?dry_run", BODY, "the query's parameter 'dry_run' is not known: ask by the body"),
        ("", {"version": 2, "resaon": "x"}, "the field 'resaon' is not known; did you mean 'reason'?"),
        ("", {"version": 2, "dry_run": True}, "the field 'dry_run' is not known; known are version, reason, force"),
        ("", {"version": "2"}, "'version' must be a number, got a text"),
    ],
)
def test_what_is_not_known_is_told(local: FlaskClient, registry: Registry, query: str, body: dict[str, Any], told: str):
    """A parameter or a field that nothing here knows is 400 with what is known, and changes nothing."""
    reply = local.post(PROMOTE + query, json=body)
    assert (reply.status_code, reply.mimetype) == (400, "application/problem+json")
    assert reply.json["detail"].startswith(told)
    assert unchanged(registry)


def test_a_rollback_takes_a_reason_alone(local: FlaskClient, registry: Registry):
    """A version, which a rollback does not take, is told so."""
    assert local.post(PROMOTE, json=BODY).status_code == 200
    reply = local.post(ROLLBACK, json={"version": 1})
    assert (reply.status_code, registry.champion("wine")) == (400, 2)
    assert reply.json["detail"] == "the field 'version' is not known; did you mean 'reason'?"


def test_a_whole_number_may_have_a_point(local: FlaskClient):
    """JSON knows one kind of number: 2.0 is the version 2."""
    reply = local.post(PROMOTE, data=b'{"version": 2.0}', content_type="application/json")
    assert reply.status_code == 200 and '"champion":2,' in reply.text


def test_a_reason_is_optional(local: FlaskClient, registry: Registry):
    """Without one the history says that it was done by hand."""
    assert local.post(PROMOTE, json={"version": 2}).status_code == 200
    assert local.post(ROLLBACK, json={}).status_code == 200
    assert [event.reason for event in registry.history("wine")[1:]] == ["promoted by hand", "rolled back by hand"]


def test_what_the_gate_held_back_needs_force(local: FlaskClient, registry: Registry):
    """It is 409 with the gate's words, and by force the reason stands on record with them."""
    changed(registry.place("wine", 2), metrics={"verdict": {"promote": False, "reasons": ["failed: worse"]}})
    refused = local.post(PROMOTE, json=BODY)
    assert (refused.status_code, refused.mimetype) == (409, "application/problem+json")
    assert "held wine version 2 back (failed: worse)" in refused.json["detail"]
    assert unchanged(registry)
    forced = local.post(PROMOTE, json={**BODY, "force": True})
    assert forced.json["event"]["reason"] == "it is better (by force; the gate: failed: worse)"


def test_what_cannot_be_done_is_a_conflict(local: FlaskClient, registry: Registry):
    """A version that is not published, and a rollback that leads nowhere, are 409 with the reason."""
    replies = [local.post(PROMOTE, json={"version": 9}), local.post(ROLLBACK, json={})]
    assert [reply.status_code for reply in replies] == [409, 409]
    assert "no published version 9 (published: 1, 2)" in replies[0].json["detail"]
    assert "no earlier champion" in replies[1].json["detail"]
    assert unchanged(registry)


@pytest.mark.parametrize("name", ["beer", "..", "%2e%2e", "WINE", "%00", "w" * 300, "wine%0a", "<b>"])
def test_a_name_that_no_model_has_is_not_found(local: FlaskClient, name: str):
    """However hostile it is."""
    for verb, body in (("promote", BODY), ("rollback", {})):
        reply = local.post(f"/models/{name}/{verb}", json=body)
        assert (reply.status_code, reply.mimetype) == (404, "application/problem+json")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"2",
        b"{}",
        b'{"version": null}',
        b'{"version": true}',
        b'{"version": "2"}',
        b'{"version": 2.5}',
        b'{"version": 0}',
        b'{"version": -1}',
        b'{"version": NaN}',
        b'{"version": 1e999}',
        b'{"version": 99999999999999999999}',
        b'{"version": 2, "force": 1}',
        b'{"version": 2, "force": "yes"}',
        b'{"version": 2, "reason": 7}',
        b'{"version": 2, "reason": "\\ud800"}',
        b'{"version": 2, "reason": "\xff"}',
        b'{"version": 2, "resaon": "misspelt"}',
        b'{"version": 2, "reason": "' + b"x" * 1001 + b'"}',
        b"[" * 100_000,
    ],
    ids=lambda body: body[:30].decode("latin-1"),
)
def test_a_body_of_another_shape_is_refused(local: FlaskClient, registry: Registry, body: bytes):
    """It is 400 with a sentence, and nothing is promoted."""
    reply = local.post(PROMOTE, data=body, content_type="application/json")
    assert (reply.status_code, reply.mimetype) == (400, "application/problem+json"), reply.text
    assert unchanged(registry)


def test_too_long_a_body_is_refused(registry: Registry, tmp_path: Path):
    """The limit of bodies is one here, too."""
    client = create_app({"artifacts": registry.folder, "reports": tmp_path, "max_body": 50}).test_client()
    assert client.post(PROMOTE, json={"version": 2, "reason": "x" * 50}).status_code == 413
    assert unchanged(registry)


def test_a_hostile_reason_is_kept_and_moves_nothing(local: FlaskClient, registry: Registry):
    """Whatever it holds, it stays one line of the history, and the list of models shows it without its powers."""
    from workshop.listing import table

    reason = 'a\n{"action": "promote"}\x1b[2J\r\x00 ü \u202e'
    assert local.post(PROMOTE, json={"version": 2, "reason": reason}).status_code == 200
    assert [event.reason for event in registry.history("wine")[1:]] == [reason]
    shown = table(registry)
    assert len(shown.splitlines()) == 3 and not set("\x1b\r\x00\u202e") & set(shown) and "ü" in shown


def test_a_token_is_asked_for(guarded: FlaskClient, registry: Registry):
    """Without it, with a wrong one, and with the right one as a password, it is 401 with how to send it."""
    password = base64.b64encode(f"x:{TOKEN}".encode()).decode()
    for wrong in (None, "Bearer wrong", "Bearer ", f"Basic {password}", TOKEN.encode().decode("latin-1")):
        headers = {"Authorization": wrong} if wrong else {}
        for path in (PROMOTE, ROLLBACK):
            reply = guarded.post(path, json=BODY, headers=headers)
            assert (reply.status_code, reply.headers["WWW-Authenticate"]) == (401, 'Bearer realm="Cellar"')
    assert unchanged(registry)
    assert guarded.get("/models").status_code == 200
    assert guarded.post(PROMOTE, json=BODY, headers=BEARER).status_code == 200


def test_with_a_token_the_caller_may_be_anywhere(guarded: FlaskClient):
    """Behind a proxy and from another machine, who has the token may."""
    headers = {**BEARER, "X-Forwarded-For": "203.0.113.7", "Host": "models.example.org"}
    reply = guarded.post(PROMOTE, json=BODY, headers=headers, environ_base={"REMOTE_ADDR": "203.0.113.7"})
    assert reply.status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
def test_who_may_promote_may_read(registry: Registry, tmp_path: Path, scheme: str):
    """The token also opens what the readers' token guards; theirs does not open this."""
    settings = {"artifacts": registry.folder, "reports": tmp_path, "token": TOKEN, "read_token": "reader"}
    client = create_app(settings).test_client()
    reader = {"Authorization": "Bearer reader"}
    password = {"Authorization": "Basic " + base64.b64encode(f"x:{TOKEN}".encode()).decode()}
    assert client.get("/models", headers=reader).status_code == 200
    assert client.get("/models", headers=BEARER if scheme == "Bearer" else password).status_code == 200
    assert client.post(PROMOTE, json=BODY, headers=reader).status_code == 401
    assert client.post(PROMOTE, json=BODY, headers=BEARER).status_code == 200


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1", "[::1]:5000", "LOCALHOST"])
def test_without_a_token_callers_of_this_machine_may(local: FlaskClient, address: str, host: str):
    """By whatever name this machine calls itself."""
    reply = local.post(PROMOTE, json=BODY, headers={"Host": host}, environ_base={"REMOTE_ADDR": address})
    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("203.0.113.7", {}),
        ("10.0.0.1", {}),
        ("", {}),
        ("not an address", {}),
        ("::ffff:10.0.0.1", {}),
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.7"}),
        ("127.0.0.1", {"Forwarded": "for=203.0.113.7"}),
        ("127.0.0.1", {"Via": "1.1 proxy"}),
        ("127.0.0.1", {"Host": "rebound.example.org:5000"}),
        ("127.0.0.1", {"Host": "127.0.0.1.example.org"}),
        ("127.0.0.1", {"Host": "[::1"}),
        ("127.0.0.1", {"Host": ""}),
    ],
)
def test_without_a_token_others_may_not(local: FlaskClient, registry: Registry, address: str, headers: dict[str, str]):
    """Callers of other machines, through a proxy, or by a name that somebody gave this address are 403."""
    for path in (PROMOTE, ROLLBACK):
        reply = local.post(path, json=BODY, headers=headers, environ_base={"REMOTE_ADDR": address})
        assert (reply.status_code, reply.mimetype) == (403, "application/problem+json")
        assert "CELLAR_TOKEN" in reply.json["detail"]
    assert unchanged(registry)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example.org"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://localhost.evil.org"},
        {"Origin": "http://localhost:8080"},
        {"Origin": "http://localhost:99999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
        {"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_page_from_elsewhere_may_not(
    local: FlaskClient, guarded: FlaskClient, registry: Registry, headers: dict[str, str]
):
    """A browser says on whose behalf it asks: another origin is 403, even where it has the token."""
    for client in (local, guarded):
        assert client.post(PROMOTE, json=BODY, headers={**BEARER, **headers}).status_code == 403
    assert unchanged(registry)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost", "localhost"),
        ("http://localhost:5000", "localhost:5000"),
        ("https://models.example.org", "models.example.org"),
        ("https://models.example.org:8443", "models.example.org:8443"),
    ],
)
def test_a_page_of_the_service_may(guarded: FlaskClient, origin: str, host: str):
    """Its own origin is none of elsewhere, also where a proxy has taken the encryption off."""
    headers = {**BEARER, "Origin": origin, "Host": host, "Sec-Fetch-Site": "same-origin"}
    assert guarded.post(PROMOTE, json=BODY, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "media",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json"],
)
def test_a_body_is_json_by_name(local: FlaskClient, registry: Registry, media: str | None):
    """What a page from elsewhere could send without being asked for leave is 415."""
    reply = local.post(PROMOTE, data=json.dumps(BODY), content_type=media)
    assert reply.status_code == 415
    assert unchanged(registry)


def test_no_page_is_given_leave(local: FlaskClient):
    """A browser that asks whether a page from elsewhere may is not told that it may; other methods are not spoken."""
    asked = {"Origin": "https://evil.example.org", "Access-Control-Request-Method": "POST"}
    reply: Any = local.options(PROMOTE, headers=asked)
    assert reply.status_code == 200 and not [name for name, _ in reply.headers if name.startswith("Access-Control")]
    assert local.get(PROMOTE).status_code == 405 and local.get(PROMOTE).headers["Allow"] == "OPTIONS, POST"


def test_over_a_real_connection(registry: Registry, tmp_path: Path):
    """The server tells the application who calls: this machine by its address may, and a proxied caller may not."""

    def ask(path: str, body: bytes, **headers: str) -> int:
        given = {"Content-Type": "application/json", **headers}
        try:
            with urllib.request.urlopen(urllib.request.Request(path, body, given), timeout=10) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as error:
            return error.code

    with serving(registry.folder, tmp_path) as server:
        assert socket.gethostbyname(server.host) == "127.0.0.1"
        base = server.address
        assert ask(base + PROMOTE, b'{"version": 2}', Via="1.1 proxy") == 403
        assert ask(base + PROMOTE, b'{"version": 2}') == 200
        assert ask(base + ROLLBACK, b"{}") == 200
    assert [event.action for event in registry.history("wine")] == ["promote", "promote", "rollback"]

"""An OpenID Connect issuer on this machine, with real keys, over real HTTP; and what it can be made to do."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from functools import cache
from threading import Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from flask import Flask, Response, jsonify, redirect, request
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from werkzeug.serving import make_server

CLIENT_ID, CLIENT_SECRET = "ums", "s3cret of the client"
ADA = {"sub": "u-1", "email": "ada@example.com", "email_verified": True, "groups": ["security", "staff"]}

Claims = dict[str, Any]


@cache
def _first_key() -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": "first", "use": "sig"})


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _encoded(value: Claims) -> str:
    return _text(json.dumps(value).encode())


class Issuer:
    """Logs in whoever ``person`` is, without asking; a context manager.

    Attributes:
        person: claims of whoever logs in.
        change: is given the claims of each ID token, and returns what is signed.
        sign: makes the token of claims, if it is to be made in another way.
        answers: what is said in place of the real answer, by path.
        now: its clock, in seconds.
        keys: the signing keys that it publishes; the last one signs.
        asked: how often each path was asked for.

    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self.person: Mapping[str, Any] = ADA
        self.change: Callable[[Claims], Claims] = dict
        self.sign: Callable[[Claims], str] | None = None
        self.answers: dict[str, Callable[[], Response]] = {}
        self.keys: list[RSAKey | ECKey] = [_first_key()]
        self.asked: dict[str, int] = {}
        self._codes: dict[str, dict[str, str]] = {}
        self._server = make_server("127.0.0.1", 0, self._app(), threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Be gone."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def signed(self, claims: Claims) -> str:
        """Return the token of claims."""
        key = self.keys[-1]
        return jwt.encode({"alg": "RS256" if isinstance(key, RSAKey) else "ES256", "kid": key.kid}, claims, key)

    def unsigned(self, claims: Claims) -> str:
        """Return a token that nobody signed."""
        return f"{_encoded({'alg': 'none', 'typ': 'JWT'})}.{_encoded(claims)}."

    def signed_with_public_key(self, claims: Claims) -> str:
        """Return a token whose HMAC was made with what everybody knows."""
        body = f"{_encoded({'alg': 'HS256', 'kid': self.keys[-1].kid})}.{_encoded(claims)}"
        signature = hmac.digest(self.keys[-1].as_pem(private=False), body.encode(), "sha256")
        return f"{body}.{_text(signature)}"

    def _app(self) -> Flask:
        app = Flask("issuer")

        @app.before_request
        def instead() -> Response | None:
            self.asked[request.path] = self.asked.get(request.path, 0) + 1
            answer = self.answers.get(request.path)
            return answer() if answer else None

        @app.get("/moved")
        @app.get("/.well-known/openid-configuration")
        def discovery() -> Response:
            found = {"issuer": self.url, "response_types_supported": ["code"], "subject_types_supported": ["public"]}
            paths = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}
            return jsonify({**found, **{name: f"{self.url}/{path}" for name, path in paths.items()}})

        @app.get("/jwks")
        def jwks() -> Response:
            return jsonify({"keys": [key.as_dict(private=False) for key in self.keys]})

        @app.get("/authorize")
        def authorize() -> Any:  # noqa: ANN401 - werkzeug's
            asked = request.args.to_dict()
            assert (asked["client_id"], asked["response_type"]) == (CLIENT_ID, "code")
            assert asked["code_challenge_method"] == "S256"
            code = secrets.token_urlsafe(16)
            self._codes[code] = asked
            back = urlencode({"code": code, "state": asked["state"], "session_state": "x"})
            return redirect(f"{asked['redirect_uri']}?{back}")

        @app.post("/token")
        def token() -> Any:  # noqa: ANN401 - flask's
            login = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
            if request.headers.get("Authorization") != f"Basic {login}":
                return {"error": "invalid_client"}, 401
            asked = self._codes.pop(request.form["code"], None)
            challenge = _text(hashlib.sha256(request.form["code_verifier"].encode()).digest())
            if (
                asked is None
                or asked["redirect_uri"] != request.form["redirect_uri"]
                or asked["code_challenge"] != challenge
            ):
                return {"error": "invalid_grant"}, 400
            now = int(self.now())
            known = {"iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
            claims = self.change({**known, **self.person})
            made = (self.sign or self.signed)(claims)
            return {"access_token": "a", "token_type": "Bearer", "expires_in": 300, "id_token": made}

        return app

"""An issuer of OpenID Connect: a real HTTP server in a thread, with a key of its own that signs its tokens."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

CLIENT, SECRET = "tollbook", "a secret of the issuer"


class Issuer:
    """What the issuer says of the person who signs in there next; each attribute may be replaced."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.claims: dict[str, Any] = {}
        self.userinfo: dict[str, Any] | None = None  # other than the claims
        self.audience, self.issuer = CLIENT, url
        self.seconds = 0.0  # before each response
        self.asked: list[dict[str, str]] = []  # the parameters of each visit
        self.calls: list[str] = []  # the paths that were called
        self._codes: dict[str, dict[str, str]] = {}
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def visit(self, address: str) -> str:
        """Sign a person in at the issuer, who was led there, and return the address that leads back."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert address.startswith(f"{self.url}/authorize?")
        self.asked.append(asked)
        code = secrets.token_hex(8)
        self._codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def answer(self, path: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        self.calls.append(path)
        time.sleep(self.seconds)
        match path:
            case "/.well-known/openid-configuration":
                return 200, self._configuration()
            case "/token":
                return self._token(form)
            case "/userinfo":
                return 200, {"sub": "person-1", **self.claims} if self.userinfo is None else self.userinfo
            case "/keys":
                return 200, {"keys": [json.loads(RSAAlgorithm.to_jwk(self._key.public_key())) | {"kid": "1"}]}
        return 404, {}

    def _configuration(self) -> dict[str, Any]:
        ends = {"authorization_endpoint": "authorize", "token_endpoint": "token", "userinfo_endpoint": "userinfo"}
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            **{name: f"{self.url}/{path}" for name, path in ends.items()},
        }

    def _token(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        asked = self._codes.pop(form.get("code", ""), None)
        challenge = urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).decode()
        if asked is None or form.get("client_secret") != SECRET or asked["code_challenge"] != challenge.rstrip("="):
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        said = {"iss": self.issuer, "aud": self.audience, "sub": "person-1", "iat": now, "exp": now + 60}
        token = jwt.encode({**said, **self.claims}, self._key, algorithm="RS256", headers={"kid": "1"})
        return 200, {"access_token": "token", "token_type": "Bearer", "expires_in": 60, "id_token": token}


@contextmanager
def issuing() -> Iterator[Issuer]:
    """Run an issuer while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._respond({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            self._respond({name: values[0] for name, values in parse_qs(body).items()})

        def _respond(self, form: dict[str, str]) -> None:
            status, said = issuer.answer(urlsplit(self.path).path, form)
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = Issuer(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()

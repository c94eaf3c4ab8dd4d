"""A passkey of software: what a browser and its authenticator say, signed as WebAuthn prescribes."""

from __future__ import annotations

import hashlib
import json
import secrets
from base64 import urlsafe_b64encode
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fido2.cose import ES256
from fido2.webauthn import (
    Aaguid,
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
)

USER_IS_PRESENT, USER_IS_VERIFIED, HAS_CREDENTIAL = 0x01, 0x04, 0x40


class SoftKey:
    """One credential for one site."""

    def __init__(self, origin: str = "http://testserver") -> None:
        self.origin, self.rp_id = origin, origin.partition("://")[2].partition(":")[0]
        self.private_key = ec.generate_private_key(ec.SECP256R1())
        self.credential_id = secrets.token_bytes(32)
        self.count = 0

    def create(self, options: dict[str, Any]) -> str:
        """Return what the browser sends for `navigator.credentials.create`."""
        client = self._client_data("webauthn.create", options["publicKey"]["challenge"])
        public = ES256.from_cryptography_key(self.private_key.public_key())
        credential = AttestedCredentialData.create(Aaguid.NONE, self.credential_id, public)
        data = self._authenticator_data(HAS_CREDENTIAL, bytes(credential))
        attestation = AttestationObject.create("none", data, {})
        return self._sent(client, {"attestationObject": _text(bytes(attestation))})

    def get(self, options: dict[str, Any]) -> str:
        """Return what the browser sends for `navigator.credentials.get`."""
        client = self._client_data("webauthn.get", options["publicKey"]["challenge"])
        data = self._authenticator_data(0, b"")
        signature = self.private_key.sign(bytes(data) + client.hash, ec.ECDSA(SHA256()))
        answer = {"authenticatorData": _text(bytes(data)), "signature": _text(signature), "userHandle": None}
        return self._sent(client, answer)

    def _client_data(self, kind: str, challenge: str) -> CollectedClientData:
        return CollectedClientData.create(kind, challenge, self.origin)

    def _authenticator_data(self, flags: int, credential: bytes) -> AuthenticatorData:
        self.count += 1
        flags |= USER_IS_PRESENT | USER_IS_VERIFIED
        return AuthenticatorData.create(hashlib.sha256(self.rp_id.encode()).digest(), flags, self.count, credential)

    def _sent(self, client: CollectedClientData, answer: dict[str, Any]) -> str:
        name = _text(self.credential_id)
        response = {"clientDataJSON": _text(bytes(client)), **answer}
        return json.dumps(
            {"id": name, "rawId": name, "type": "public-key", "response": response, "clientExtensionResults": {}}
        )


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")

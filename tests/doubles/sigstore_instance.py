"""A private instance of sigstore, as small as it can be: Fulcio, its certificate log and Rekor on one free port.

Every certificate, log entry and proof is real and fresh; the log has one entry, another one each time. It believes
every OIDC token. Told to, it refuses, fails, or says nothing at all.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_FULCIO, _REKOR = "/api/v2/signingCert", "/api/v1/log/entries"
_ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_ORIGIN = "log.example.com"
_HOUR = timedelta(hours=1)


class SigstoreInstance:
    """Fulcio and Rekor; ``fulcio_status`` and ``rekor_status`` other than 201 make them refuse."""

    issuer = "https://issuer.example.com"

    def __init__(self, *, fulcio_status: int = 201, rekor_status: int = 201, silent: bool = False) -> None:
        self._status = {_FULCIO: fulcio_status, _REKOR: rekor_status}
        self._ca_key, self._ct_key, self._log_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fulcio.example.com")])
        self._ca = (
            _certificate(name, name, self._ca_key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .add_extension(_usage(certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._ca_key.public_key()), critical=False)
            .sign(self._ca_key, hashes.SHA256())
        )
        self._closing = threading.Event()
        instance = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if silent:
                    instance._closing.wait(60)
                    return
                status = instance._status[self.path]
                answer: dict[str, Any] = {"code": status, "message": "told to refuse"}
                if status == 201:
                    token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                    answer = instance._issue(body, token) if self.path == _FULCIO else instance._log(body)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def token(self, subject: str, *, audience: str = "sigstore", lifetime: float = 600) -> str:
        """Return an OIDC token; nobody looks at its signature."""
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": subject, "aud": audience, "iat": now - 900, "exp": int(now + lifetime)}
        parts = ({"alg": "ES256", "typ": "JWT"}, claims)
        return ".".join([*(_base64url(json.dumps(part).encode()) for part in parts), _base64url(b"signature")])

    def trust_config(self) -> str:
        """Return the client trust configuration of this instance."""
        url = f"http://127.0.0.1:{self._server.server_port}"
        since = {"start": "2020-01-01T00:00:00Z"}
        service = {"url": url, "majorApiVersion": 1, "validFor": since, "operator": "example.com"}
        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
                "trustedRoot": {
                    "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                    "tlogs": [_log_instance(url, self._log_key)],
                    "ctlogs": [_log_instance(url, self._ct_key)],
                    "certificateAuthorities": [
                        {
                            "subject": {"organization": "example.com", "commonName": "fulcio"},
                            "uri": url,
                            "certChain": {"certificates": [{"rawBytes": _base64(self._ca.public_bytes(Encoding.DER))}]},
                            "validFor": since,
                        }
                    ],
                },
                "signingConfig": {
                    "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                    "caUrls": [service],
                    "rekorTlogUrls": [service],
                    "rekorTlogConfig": {"selector": "ANY"},
                },
            }
        )

    def _issue(self, request: dict[str, str], token: str) -> dict[str, Any]:
        """Return a certificate for the token's subject, with the promise of the certificate log in it."""
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        signing = x509.load_pem_x509_csr(base64.b64decode(request["certificateSigningRequest"]))
        builder = (
            _certificate(x509.Name([]), self._ca.subject, signing.public_key())
            .add_extension(_usage(certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_subject(claims["sub"])]), critical=True)
            .add_extension(x509.UnrecognizedExtension(_ISSUER, claims["iss"].encode()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._ca_key.public_key()), critical=False
            )
        )
        pre = builder.sign(self._ca_key, hashes.SHA256()).tbs_certificate_bytes
        stamp = int(time.time() * 1000)
        entry = _key_id(self._ca_key) + len(pre).to_bytes(3, "big") + pre
        promise = self._ct_key.sign(
            struct.pack(">BBQH", 0, 0, stamp, 1) + entry + struct.pack(">H", 0), ec.ECDSA(hashes.SHA256())
        )
        sct = struct.pack(">B32sQH", 0, _key_id(self._ct_key), stamp, 0) + struct.pack(">BBH", 4, 3, len(promise))
        listed = struct.pack(">H", len(sct + promise)) + sct + promise
        octets = struct.pack(">H", len(listed)) + listed
        value = bytes([0x04, 0x81, len(octets)] if len(octets) > 127 else [0x04, len(octets)]) + octets
        leaf = builder.add_extension(x509.UnrecognizedExtension(_SCT_LIST, value), critical=False)
        chain = [leaf.sign(self._ca_key, hashes.SHA256()), self._ca]
        return {
            "signedCertificateEmbeddedSct": {
                "chain": {"certificates": [each.public_bytes(Encoding.PEM).decode() for each in chain]}
            }
        }

    def _log(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the entry of a signature in a log that has no other."""
        proposed = request["spec"]["proposedContent"]
        envelope = json.loads(proposed["envelope"])
        body = _json(
            {
                "apiVersion": "0.0.1",
                "kind": "dsse",
                "spec": {
                    "envelopeHash": _hash(proposed["envelope"].encode()),
                    "payloadHash": _hash(base64.b64decode(envelope["payload"])),
                    "signatures": [
                        {"signature": envelope["signatures"][0]["sig"], "verifier": proposed["verifiers"][0]}
                    ],
                },
            }
        )
        root = hashlib.sha256(b"\0" + body).digest()
        note = f"{_ORIGIN}\n1\n{_base64(root)}\n"
        sign = ec.ECDSA(hashes.SHA256())
        note_signature = _base64(_key_id(self._log_key)[:4] + self._log_key.sign(note.encode(), sign))
        entry = {
            "body": _base64(body),
            "integratedTime": int(time.time()),
            "logID": _key_id(self._log_key).hex(),
            "logIndex": 0,
        }
        verification = {
            "inclusionProof": {
                "logIndex": 0,
                "rootHash": root.hex(),
                "treeSize": 1,
                "hashes": [],
                "checkpoint": f"{note}\n\u2014 {_ORIGIN} {note_signature}\n",
            },
            "signedEntryTimestamp": _base64(self._log_key.sign(_json(entry), sign)),
        }
        return {"0" * 80: {**entry, "verification": verification}}


def _certificate(subject: x509.Name, issuer: x509.Name, key: CertificatePublicKeyTypes) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _HOUR)
        .not_valid_after(now + _HOUR)
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _log_instance(url: str, key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    return {
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": _base64(_spki(key)),
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "validFor": {"start": "2020-01-01T00:00:00Z"},
        },
        "logId": {"keyId": _base64(_key_id(key))},
    }


def _spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _key_id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_spki(key)).digest()


def _hash(content: bytes) -> dict[str, str]:
    return {"algorithm": "sha256", "value": hashlib.sha256(content).hexdigest()}


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _subject(name: str) -> x509.GeneralName:
    """Return what Fulcio makes of a subject: a workflow is a URI, and a person an address of mail."""
    return x509.UniformResourceIdentifier(name) if "://" in name else x509.RFC822Name(name)

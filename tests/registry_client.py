"""What tests ask of an embedded registry, and how."""

from __future__ import annotations

import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

from werkzeug.test import Client, TestResponse

from ums.domain.digest import Digest
from ums.domain.oci import INDEX, MANIFEST
from ums.edge.registry import Challenge
from ums.edge.registry_messages import Access

CONTENT = b"some content"
DIGEST = Digest.of(CONTENT)
UPLOADS = "/v2/org/app/blobs/uploads/"


class Door:
    """Lets everybody in but those it is told about, and remembers who came."""

    def __init__(self) -> None:
        self.closed: dict[str, Challenge] = {}
        self.came: list[tuple[str | None, Access, str]] = []

    def __call__(self, authorization: str | None, access: Access, name: str) -> Challenge | None:
        """Answer for one request."""
        self.came.append((authorization, access, name))
        return self.closed.get(name)


class Whole(Client):
    """A client that reads each answer to its end and closes it, as a server would."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:  # noqa: ANN401 - the signature is werkzeug's
        """Send a request."""
        return super().open(*args, **{**kwargs, "buffered": True})


def files(root: Path) -> list[str]:
    """Return every file, for comparing before and after."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def code(response: TestResponse) -> str:
    """Return the error code of an answer."""
    return str(json.loads(response.data)["errors"][0]["code"])


def push_blob(http: Client, content: bytes = CONTENT, *, name: str = "org/app") -> Digest:
    """Push a blob in one request."""
    digest = Digest.of(content)
    assert http.post(f"/v2/{name}/blobs/uploads/?digest={digest}", data=content).status_code == HTTPStatus.CREATED
    return digest


def make_manifest(number: int = 0, *, subject: bytes | Digest | None = None, artifact_type: str | None = None) -> bytes:
    """Return a manifest of the blob pushed; its subject is a manifest or index, or the digest of one not pushed."""
    descriptor = {"mediaType": "text/plain", "digest": str(DIGEST), "size": len(CONTENT)}
    data = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor,
        "layers": [descriptor],
        "annotations": {"n": str(number)},
    }
    if subject:
        data["subject"] = describe(subject)
    if artifact_type:
        data["artifactType"] = artifact_type
    return json.dumps(data).encode()


def put_manifest(
    http: Client, content: bytes, reference: str | None = None, media_type: str = MANIFEST, *, name: str = "org/app"
) -> TestResponse:
    """Put a manifest."""
    path = f"/v2/{name}/manifests/{reference or Digest.of(content)}"
    return http.put(path, data=content, content_type=media_type)


def make_index(*children: bytes) -> bytes:
    """Return an index of manifests and indexes."""
    listed = [describe(each) for each in children]
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).encode()


def describe(document: bytes | Digest) -> dict[str, Any]:
    """Return the descriptor of a manifest or index, or of one that only its digest is known of."""
    if isinstance(document, Digest):
        return {"mediaType": MANIFEST, "digest": str(document), "size": 1}
    media_type = INDEX if b'"manifests"' in document else MANIFEST
    return {"mediaType": media_type, "digest": str(Digest.of(document)), "size": len(document)}

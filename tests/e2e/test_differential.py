"""No document has two readings: what UMS and Go both accept, they read alike.

The program ``tools/differential`` reads with the library that source-controller uses. The same test with Python's own
JSON in place of the strict reader finds differences, so it is the reader that makes the two agree.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.json_mutations import EVIL_DIGEST, mutated
from tests.e2e.toolchain import tool
from ums.domain.artifact import EMPTY_BLOB, Artifact, Blob
from ums.domain.component_artifact import manifests_artifact
from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError
from ums.domain.oci import INDEX, MANIFEST, SIGSTORE_BUNDLE, Descriptor, Document, read_own_manifest

SEED, COUNT = 20_261_201, 12_000
Reading = dict[str, Any]
Reader = Callable[[bytes, str], Reading]


@dataclass(frozen=True)
class Read:
    """One document, and what Go reads in it as a manifest and as an index; ``None`` where it reads nothing."""

    content: bytes
    manifest: Reading | None
    index: Reading | None

    def as_kind(self, media_type: str) -> Reading | None:
        """Return the reading of one kind."""
        return self.manifest if media_type == MANIFEST else self.index


def documents() -> list[bytes]:
    """Return what UMS and others write: component, signature, image with all members, index."""
    component = manifests_artifact("trust", "guard", "1.0.0", b"layer")
    signature = Artifact.assemble(
        config=EMPTY_BLOB,
        layers=(Blob.of(b"bundle", SIGSTORE_BUNDLE),),
        annotations={"dev.sigstore.bundle.content": "dsse-envelope"},
        artifact_type=SIGSTORE_BUNDLE,
        subject=component.descriptor,
    )
    part: Reading = {**Descriptor.of(b"content", "text/plain").to_dict(), "annotations": {"a": "b"}}
    listed = {**component.descriptor.to_dict(), "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}}
    image = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/x",
        "config": {**Descriptor.of(b"{}", "application/y").to_dict(), "data": "e30="},
        "layers": [part, {**part, "digest": str(Digest.of(b"another"))}],
        "annotations": {"key": "value", "\u00e4": "\u00f6"},
    }
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [listed, listed], "annotations": {"key": "value"}}
    return [component.manifest, signature.manifest, json.dumps(image).encode(), json.dumps(index).encode()]


@pytest.fixture(scope="module")
def readings() -> list[Read]:
    """Return changed documents as Go reads them."""
    contents = mutated(documents(), SEED, COUNT)
    lines = b"".join(base64.b64encode(content) + b"\n" for content in contents)
    done = subprocess.run([tool("differential"), "manifest"], input=lines, capture_output=True, check=True, timeout=120)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(contents)
    return [
        Read(content, each["manifest"].get("value"), each["index"].get("value"))
        for content, each in zip(contents, found, strict=True)
    ]


def strictly(content: bytes, media_type: str) -> Reading:
    """Read as UMS reads what is signed."""
    return of_document(Document.from_bytes(content, media_type))


def as_foreign(content: bytes, media_type: str) -> Reading:
    """Read as the registry reads what others push."""
    return of_document(Document.from_bytes(content, media_type, foreign=True))


def as_own(content: bytes, media_type: str) -> Reading:
    """Read as UMS reads what it made itself."""
    if media_type != MANIFEST:
        raise InvalidInputError("UMS makes no indexes")
    return of_document(read_own_manifest(content))


def plainly(content: bytes, media_type: str) -> Reading:
    """Read with Python's own JSON what the kind has; whatever is of another type than expected is no reading."""
    data = json.loads(content)
    kind = {"config", "layers"} if media_type == MANIFEST else {"manifests"}
    if not kind <= data.keys() or data["schemaVersion"] != 2 or data.get("mediaType", media_type) != media_type:
        raise InvalidInputError("another kind")
    return of_go({name: data[name] for name in {*kind, "subject", "annotations", "artifactType"} & data.keys()})


def of_document(document: Document) -> Reading:
    """Return what is compared of a document."""
    return {
        "config": of_descriptor(document.config) if document.config else None,
        "layers": [of_descriptor(each) for each in document.layers],
        "manifests": [of_descriptor(each) for each in document.manifests],
        "subject": of_descriptor(document.subject) if document.subject else None,
        "annotations": dict(document.annotations),
        "artifactType": document.artifact_type or "",
    }


def of_descriptor(descriptor: Descriptor) -> Reading:
    """Return what is compared of a descriptor."""
    return {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size,
        "annotations": dict(descriptor.annotations),
        "artifactType": descriptor.artifact_type or "",
        "urls": list(descriptor.urls),
    }


def of_go(data: Reading) -> Reading:
    """Return what is compared of Go's reading; what is absent there has its type's zero value."""
    return {
        "config": of_go_descriptor(data["config"]) if "config" in data else None,
        "layers": [of_go_descriptor(each) for each in data.get("layers") or ()],
        "manifests": [of_go_descriptor(each) for each in data.get("manifests") or ()],
        "subject": of_go_descriptor(data["subject"]) if data.get("subject") else None,
        "annotations": data.get("annotations") or {},
        "artifactType": data.get("artifactType") or "",
    }


def of_go_descriptor(data: Reading) -> Reading:
    """Return the same of a descriptor."""
    return {
        "mediaType": data.get("mediaType") or "",
        "digest": data.get("digest") or ":",
        "size": data.get("size") or 0,
        "annotations": data.get("annotations") or {},
        "artifactType": data.get("artifactType") or "",
        "urls": data.get("urls") or [],
    }


def compare(readings: list[Read], reader: Reader) -> tuple[Counter[str], list[bytes]]:
    """Return how many readings were accepted by whom, and the documents that were read differently."""
    counts, different = Counter[str](), []
    for read in readings:
        for media_type in (MANIFEST, INDEX):
            theirs = read.as_kind(media_type)
            counts["go"] += theirs is not None
            try:
                ours = reader(read.content, media_type)
            except (InvalidInputError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
                continue
            counts["ums"] += 1
            counts["both"] += theirs is not None
            if theirs is not None and (of_go(theirs) != ours or not holds_together(theirs, media_type)):
                different.append(read.content)
    return counts, different


def holds_together(data: Reading, media_type: str) -> bool:
    """Return whether Go's reading is of the kind that it was read as, and embedded content that of its descriptor."""
    parts = [data.get("config"), data.get("subject"), *(data.get("layers") or ()), *(data.get("manifests") or ())]
    embedded = [(part["digest"], base64.b64decode(part["data"])) for part in parts if part and part.get("data")]
    return data.get("mediaType", media_type) == media_type and all(
        digest in {f"sha256:{hashlib.sha256(content).hexdigest()}", f"sha512:{hashlib.sha512(content).hexdigest()}"}
        for digest, content in embedded
    )


@pytest.mark.parametrize("reader", [strictly, as_foreign, as_own])
def test_what_both_accept_they_read_alike(
    readings: list[Read], reader: Reader, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever a document is, no layer, digest, size or subject differs; and enough are accepted to tell."""
    counts, different = compare(readings, reader)
    with capsys.disabled():
        print(f"\n{reader.__name__}: {len(readings)} documents as two kinds: {dict(counts)}, {len(different)} differ")
    assert different == []
    assert counts["ums"] == counts["both"], "Go reads all that UMS reads"
    assert len(readings) >= 10_000
    assert counts["go"] >= 0.4 * 2 * COUNT
    assert counts["both"] >= {"strictly": 0.1, "as_foreign": 0.12, "as_own": 0.03}[reader.__name__] * 2 * COUNT


def test_without_the_strict_reader_they_differ(readings: list[Read], capsys: pytest.CaptureFixture[str]) -> None:
    """With Python's own JSON, hundreds of documents have two readings, with the attacker's layer in Go's."""
    counts, different = compare(readings, plainly)
    with capsys.disabled():
        print(f"\nwithout it: {dict(counts)}, {len(different)} differ")
    assert len(different) >= 300
    assert any(EVIL_DIGEST.encode() in content for content in different)

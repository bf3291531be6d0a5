"""Manifests and indexes are read in the one way in which Go reads them, or rejected with the member's name."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError
from ums.domain.oci import DOCKER_MANIFEST, EMPTY, INDEX, MANIFEST, Descriptor, Document, read_own_manifest
from ums.domain.strict_json import StrictJSONError

BLOB = b"content"
PART: dict[str, Any] = {"mediaType": "text/plain", "digest": str(Digest.of(BLOB)), "size": len(BLOB)}
WITH_DATA = {**PART, "data": base64.b64encode(BLOB).decode()}
IMAGE = {"schemaVersion": 2, "mediaType": MANIFEST, "config": PART, "layers": [PART], "annotations": {"a": "b"}}
LIST = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**PART, "platform": {"os": "linux"}}]}


def read(data: object, media_type: str = MANIFEST, *, foreign: bool = False) -> Document:
    """Read a document."""
    return Document.from_bytes(json.dumps(data).encode(), media_type, foreign=foreign)


def test_what_a_document_says_is_read() -> None:
    """All that UMS looks at, of manifests and of indexes."""
    image = read({**IMAGE, "artifactType": "a/b", "subject": {**PART, "mediaType": MANIFEST}})
    part = Descriptor("text/plain", Digest.of(BLOB), len(BLOB))
    subject = Descriptor(MANIFEST, Digest.of(BLOB), len(BLOB))
    assert image == Document(MANIFEST, part, (part,), (), {"a": "b"}, "a/b", subject)
    assert read(LIST, INDEX).manifests == (part,)


def test_content_in_a_descriptor_is_that_which_it_names() -> None:
    """ORAS embeds the empty configuration; what is embedded must not be other content than what is fetched."""
    assert read({**IMAGE, "config": WITH_DATA}).config is not None
    empty = {"mediaType": EMPTY, "digest": str(Digest.of(b"{}")), "size": 2, "data": "e30="}
    assert read({**IMAGE, "config": empty}).config == Descriptor.of(b"{}", EMPTY)


STRICT = [
    ({**IMAGE, "Layers": [PART]}, "which Go reads as 'layers'|the same to Go"),
    ({**IMAGE, "layer\u017f": [PART]}, "the same to Go"),
    ({"schemaVersion": 2, "config": PART, "Layers": [PART]}, "has member 'Layers', which Go reads as 'layers'"),
    ({**IMAGE, "manifests": []}, "'manifests'"),
    ({**IMAGE, "fsLayers": []}, "'fsLayers'"),
    ({**IMAGE, "schemaVersion": 1}, "'schemaVersion'"),
    ({**IMAGE, "schemaVersion": True}, "'schemaVersion'"),
    ({**IMAGE, "mediaType": INDEX}, "but was sent as"),
    ({**IMAGE, "layers": {}}, "is not an array"),
    ({**IMAGE, "layers": [None]}, "is not an object"),
    ({**IMAGE, "config": []}, "is not an object"),
    ({**IMAGE, "artifactType": "x"}, "'artifactType'"),
    ({**IMAGE, "artifactType": ["a/b"]}, "'artifactType'"),
    ({**IMAGE, "annotations": {"a": None}}, "member 'a' is not a string"),
    ({**IMAGE, "annotations": {"a": "b", "A": "c"}}, "the same to Go"),
    ({**IMAGE, "annotations": []}, "is not an object"),
    ({**IMAGE, "annotations": {"a\x00": "b"}}, "control character"),
    ({**IMAGE, "config": {**PART, "Digest": str(Digest.of(b"x"))}}, "the same to Go"),
    ({**IMAGE, "config": {**PART, "size": "7"}}, "the size of a descriptor"),
    ({**IMAGE, "config": {**PART, "size": -1}}, "the size of a descriptor"),
    ({**IMAGE, "config": {**PART, "size": True}}, "the size of a descriptor"),
    ({**IMAGE, "config": {**PART, "mediaType": "text/html\r\nx: y"}}, "'mediaType'"),
    ({**IMAGE, "config": {**PART, "annotations": {"a": 1}}}, "is not a string"),
    ({**IMAGE, "config": {**WITH_DATA, "data": "ZXZpbA=="}}, "other content"),
    ({**IMAGE, "config": {**WITH_DATA, "data": WITH_DATA["data"] + "\n"}}, "not base64"),
    ({**IMAGE, "config": {**WITH_DATA, "data": 7}}, "'data'"),
    ({**IMAGE, "config": {**PART, "urls": "x"}}, "is not an array"),
]


@pytest.mark.parametrize(("data", "says"), STRICT)
@pytest.mark.parametrize("foreign", [False, True])
def test_what_has_two_readings_is_rejected(data: dict[str, Any], says: str, *, foreign: bool) -> None:
    """Also where all is accepted that the spec allows; the error names the member."""
    with pytest.raises(StrictJSONError, match=says):
        read(data, foreign=foreign)


@pytest.mark.parametrize(
    "data",
    [
        {**IMAGE, "comment": 1.5},
        {**IMAGE, "subject": None},
        {**IMAGE, "layers": None},
        {key: value for key, value in IMAGE.items() if key != "mediaType"},
        {**IMAGE, "layers": [{**PART, "urls": ["https://example.com/x"]}]},
        {**IMAGE, "layers": [{**PART, "x": {"y": []}}]},
        {**IMAGE, "config": {**PART, "platform": {"os": "linux", "more": 1}}},
    ],
)
def test_what_the_spec_allows_is_for_what_others_made(data: dict[str, Any]) -> None:
    """Members of any name, addresses, absent types: in an image they are read past, in what is signed rejected."""
    assert read(data, foreign=True).config is not None
    with pytest.raises(StrictJSONError):
        read(data)


@pytest.mark.parametrize("media_type", ["", "text/html", "application/json", MANIFEST.upper()])
def test_nothing_else_is_a_document(media_type: str) -> None:
    """Only four media types are read as manifest or index."""
    with pytest.raises(StrictJSONError, match="not the media type of a manifest"):
        read({**IMAGE, "mediaType": media_type}, media_type)


def test_the_kind_of_a_document_decides_its_members() -> None:
    """An index has no configuration, and an image manifest no manifests: it is never both (CVE-2021-41190)."""
    assert read({**IMAGE, "mediaType": DOCKER_MANIFEST}, DOCKER_MANIFEST).layers
    for foreign in (False, True):
        with pytest.raises(StrictJSONError, match="'config'"):
            read({**LIST, "config": PART}, INDEX, foreign=foreign)
        with pytest.raises(StrictJSONError, match=re.escape("lacks member 'config'")):
            read({key: value for key, value in IMAGE.items() if key != "config"}, foreign=foreign)


def test_a_wrong_digest_is_an_error_of_its_own() -> None:
    """The registry answers it with another code."""
    with pytest.raises(InvalidInputError, match="is not a digest") as caught:
        read({**IMAGE, "config": {**PART, "digest": "sha256:12"}})
    assert not isinstance(caught.value, StrictJSONError)


@pytest.mark.parametrize("change", [{"config": WITH_DATA}, {"artifactType": ""}, {"layers": [{**PART, "urls": []}]}])
def test_an_own_manifest_has_no_other_spelling(change: dict[str, Any]) -> None:
    """Members that say nothing are not written, and so not read."""
    with pytest.raises(StrictJSONError, match="other bytes than UMS writes"):
        read_own_manifest(json.dumps({**IMAGE, **change}, sort_keys=True, separators=(",", ":")).encode())

"""References, descriptors and manifests as the OCI specifications have them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ums.domain.artifact import EMPTY_BLOB, Artifact, Blob
from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError
from ums.domain.oci import MANIFEST, Descriptor, Reference, Repository

HEX = "a" * 64
PARTS = st.from_regex(r"[a-z0-9]{1,8}([._-][a-z0-9]{1,4})?", fullmatch=True)


@given(
    st.sampled_from(["registry.example.com", "localhost:5000", "[::1]:5000"]),
    st.lists(PARTS, min_size=1, max_size=3),
    st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,12}", fullmatch=True),
    st.none() | st.just(Digest("sha256", HEX)),
)
def test_a_reference_reads_as_it_prints(
    registry: str, parts: list[str], tag: str | None, digest: Digest | None
) -> None:
    """Parsing the text of a reference gives the reference, with or without a scheme."""
    reference = Reference(Repository(registry, "/".join(parts)), tag, digest)
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(f"oci://{reference}") == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        "registry.example.com",
        "registry.example.com/",
        "registry.example.com/Vendor/x",
        "registry.example.com/../x",
        "https://registry.example.com/x",
        "registry.example.com/x:t:u",
        "registry.example.com/x@sha256:abc",
        "registry.example.com/x:-tag",
        "registry.example.com/x y",
        "registry.example.com/x\n",
        "user@registry.example.com/x",
        f"registry.example.com/{'x' * 300}",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    """A reference becomes a URL, so nothing is let in that could mean another."""
    with pytest.raises(InvalidInputError):
        Reference.parse(text)


def test_repositories_nest() -> None:
    """A component's repository is below its bundle's."""
    assert str(Repository.parse("oci://host/vendor/") / "platform" / "cilium") == "host/vendor/platform/cilium"


def test_descriptors_survive_json() -> None:
    """A descriptor reads back from its JSON form."""
    descriptor = Descriptor("text/plain", Digest.of(b"x"), 1, {"key": "value"}, "application/x")
    assert Descriptor.from_dict(json.loads(json.dumps(descriptor.to_dict()))) == descriptor


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        None,
        {"mediaType": "text/plain", "digest": f"sha256:{HEX}"},
        {"mediaType": "text/plain", "digest": f"sha256:{HEX}", "size": -1},
        {"mediaType": "text/plain", "digest": f"sha256:{HEX}", "size": True},
        {"mediaType": "text/plain", "digest": f"sha256:{HEX}", "size": "1"},
        {"mediaType": 1, "digest": f"sha256:{HEX}", "size": 1},
        {"mediaType": "text/plain", "digest": "sha256:x", "size": 1},
    ],
)
def test_wrong_descriptors_are_refused(data: Any) -> None:  # noqa: ANN401 - any JSON
    """What a registry serves is checked before it is believed."""
    with pytest.raises(InvalidInputError):
        Descriptor.from_dict(data)


def test_equal_content_makes_equal_manifests() -> None:
    """An artifact's digest depends on its parts, not on the order in which annotations were written."""
    blob = Blob.of(b"content", "text/plain")
    one = Artifact.assemble(config=EMPTY_BLOB, layers=(blob,), annotations={"a": "1", "b": "2"})
    two = Artifact.assemble(config=EMPTY_BLOB, layers=(blob,), annotations={"b": "2", "a": "1"})
    assert one == two
    assert one.descriptor == Descriptor.of(one.manifest, MANIFEST)


def test_a_manifest_names_its_subject_and_type() -> None:
    """A signature refers to what it signs by digest, media type and size alone."""
    subject = Descriptor(MANIFEST, Digest.of(b"x"), 1, {"left": "out"})
    artifact = Artifact.assemble(config=EMPTY_BLOB, layers=(), annotations={}, artifact_type="a/b", subject=subject)
    manifest = json.loads(artifact.manifest)
    assert manifest["subject"] == {"mediaType": MANIFEST, "digest": str(subject.digest), "size": 1}
    assert manifest["artifactType"] == "a/b"

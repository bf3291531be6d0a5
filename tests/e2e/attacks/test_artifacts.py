"""With write access to the registry, or to its disk: what source-controller does not take for a release of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from tests.e2e.attacks.stage import FOLDER, Attacker, content, health, small_bundle, told
from tests.e2e.cluster import Cluster
from tests.processes import eventually
from tests.running_service import RunningService
from ums.adapters.cosign_bundle import CosignBundleSigner
from ums.adapters.oras_registry import OrasRegistry
from ums.domain.artifact import EMPTY_BLOB, Artifact, Blob
from ums.domain.digest import Digest
from ums.domain.oci import MANIFEST, SIGSTORE_BUNDLE, Descriptor, Repository
from ums.domain.world import Raw

OBJECTS = f"{FOLDER}/small/config/1.0.0/objects.yaml"


class Writer:
    """Somebody who may push to the registry, and has the state key besides."""

    def __init__(self, service: RunningService) -> None:
        self.attacker = Attacker(service)
        self.registry = OrasRegistry(username="x", password=service.token, plain_http=True)
        self.repository = Repository(service.url.removeprefix("http://"), "ums/small/config")

    @cached_property
    def good(self) -> Digest:
        """Return what the data plane was told to run at first."""
        return self.digest_in_use()

    def layer_of(self, version: str) -> Digest:
        """Return the content of a published component."""
        found, _ = self.registry.get_manifest(self.repository, version)
        _, manifest = self.registry.get_manifest(self.repository, str(found.digest))
        return Digest.parse(json.loads(manifest)["layers"][0]["digest"])

    def objects(self) -> list[dict[str, object]]:
        """Return the objects of the component, as they are delivered."""
        return list(yaml.safe_load_all(self.attacker.git("show", f"delivery:{OBJECTS}")))

    def digest_in_use(self) -> Digest:
        """Return what the data plane is told to run."""
        return Digest.parse(str(self.objects()[0]["spec"]["ref"]["digest"]))  # type: ignore[index]

    def point_to(self, digest: Digest) -> None:
        """Tell the data plane to run something else."""
        text = yaml.safe_dump_all(self.objects()).replace(str(self.digest_in_use()), str(digest))
        self.attacker.commit(lambda _: None, {OBJECTS: Raw(text.encode())})

    def push_unsigned(self, name: str) -> Descriptor:
        """Push what differs from the component in an annotation, so that it is another artifact."""
        _, manifest = self.registry.get_manifest(self.repository, str(self.good))
        fields = json.loads(manifest)
        fields["annotations"]["evil"] = name
        text = json.dumps(fields).encode()
        made = Artifact(Descriptor.of(text, MANIFEST), text, ())
        self.registry.push_manifest(self.repository, made)
        return made.descriptor

    def attach(self, subject: Descriptor, signature: bytes) -> None:
        """Attach a signature to an artifact."""
        made = Artifact.assemble(
            config=EMPTY_BLOB,
            layers=(Blob.of(signature, SIGSTORE_BUNDLE),),
            annotations={"dev.sigstore.bundle.content": "dsse-envelope"},
            artifact_type=SIGSTORE_BUNDLE,
            subject=subject,
        )
        for blob in made.blobs:
            self.registry.push_blob(self.repository, blob)
        self.registry.push_manifest(self.repository, made)

    def signature_of(self, digest: Digest) -> bytes:
        """Return the signature of an artifact."""
        (found,) = self.registry.referrers(self.repository, digest, SIGSTORE_BUNDLE)
        _, manifest = self.registry.get_manifest(self.repository, str(found.digest))
        with self.registry.open_blob(self.repository, Descriptor.from_dict(json.loads(manifest)["layers"][0])) as file:
            return file.read()


@pytest.fixture
def writer(service: RunningService, cluster: Cluster) -> Iterator[Writer]:
    """Return an attacker; afterwards the data plane is told to run what it ran."""
    made = Writer(service)
    good = made.good
    yield made
    made.point_to(good)
    eventually(lambda: source(cluster)[0] == "True", timeout=180, what="the source is well again", every=0.5)


def source(cluster: Cluster) -> tuple[str, str]:
    """Return status and message of the component's source."""
    return cluster.ready("ocirepository", "small-config")


@pytest.mark.parametrize("signed", ["not at all", "with the build key", "with the signature of another artifact"])
def test_what_no_release_key_signed_is_not_run(cluster: Cluster, writer: Writer, signed: str) -> None:
    """Though it is there, and the state key says so."""
    evil = writer.push_unsigned(signed)
    if signed == "with the build key":
        build_key = CosignBundleSigner(generate_private_key(SECP256R1()), "build")
        writer.attach(evil, build_key.sign(evil.digest))
    elif signed != "not at all":
        writer.attach(evil, writer.signature_of(writer.good))
    writer.point_to(evil.digest)
    message = cluster.wait_message("ocirepository", "small-config", "VerificationError")
    artifact = cluster.get("ocirepository", "small-config")["status"]["artifact"]
    assert writer.good.hex in artifact["digest"] + artifact["revision"], "what runs goes on"
    assert content(cluster) == "1"
    told(f"an artifact signed {signed}", "source-controller", message)


HOW = ["another content", "half of it", "more than it should be"]


@pytest.mark.parametrize("how", HOW)
def test_bytes_that_are_not_what_they_should_be_are_not_run(
    cluster: Cluster, service: RunningService, tmp_path: Path, how: str
) -> None:
    """Swapped on the registry's disk under the very digest that was signed; mended, the release arrives."""
    number = HOW.index(how) + 1
    before, version, evil = content(cluster), f"1.{number}.0", f"9.{number}.0"
    service.publish(small_bundle(tmp_path / "good", value=str(number + 1)), version)
    service.publish(small_bundle(tmp_path / "evil", value=f"evil {number}"), evil)
    writer, folder = Writer(service), service.data / "registry" / "blobs"
    layer, other = ((folder / each.algorithm / each.hex) for each in map(writer.layer_of, (version, evil)))
    good = layer.read_bytes()
    layer.unlink()
    layer.write_bytes({"another content": other.read_bytes(), "half of it": good[: len(good) // 2]}.get(how, good * 2))
    for channel in ("edge", "candidate", "stable"):
        service.ums("promote", f"small@{version}", "--to", channel)
    eventually(lambda: source(cluster)[0] == "False", timeout=180, what="the source is refused", every=0.5)
    message = source(cluster)[1]
    assert content(cluster) == before
    told(f"a layer of {how}", "source-controller", message)
    eventually(lambda: health(service) == "failed", timeout=180, what="the service says so", every=0.5)
    layer.write_bytes(good)
    eventually(lambda: content(cluster) == str(number + 1), timeout=180, what="it arrives, once mended", every=0.5)
    eventually(lambda: health(service) == "healthy", timeout=180, what="all is well", every=0.5)

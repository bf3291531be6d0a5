"""Verify: whose signatures an artifact carries, and whether they are enough. The same code everywhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ums.domain.digest import Digest
from ums.domain.errors import IntegrityError, InvalidInputError, UnverifiedError
from ums.domain.oci import RELEASE, SIGSTORE_BUNDLE, Descriptor, Repository
from ums.domain.release import Release
from ums.domain.trust import Signatory, TrustPolicy
from ums.ports import Registry, Verifier

MAX_SIGNATURES = 64
"""More than this many referrers are not looked at: a registry may not make us work for ever."""
MAX_SIGNATURE_BYTES = 1 << 20
MAX_RELEASE_BYTES = 4 << 20
PARALLEL = 8
"""Requests at a time: each waits for the registry much longer than it computes."""


@dataclass(frozen=True, slots=True)
class Verified:
    """An artifact and who signed it."""

    subject: str
    repository: Repository
    digest: Digest
    signed_by: frozenset[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in API answers."""
        return {"subject": self.subject, "digest": str(self.digest), "signedBy": sorted(self.signed_by)}


@dataclass(frozen=True, slots=True)
class Verify:
    """Check signatures in a registry."""

    registry: Registry
    verifier: Verifier

    def signed_by(self, repository: Repository, digest: Digest, signatories: Sequence[Signatory]) -> frozenset[str]:
        """Return which of the signatories signed a manifest; none is an answer, not an error.

        Raises:
            UnavailableError: the registry did not answer.
            IntegrityError: the registry served other bytes than it promised.

        """
        found: set[str] = set()
        for referrer in self.registry.referrers(repository, digest, SIGSTORE_BUNDLE)[:MAX_SIGNATURES]:
            _, manifest = self.registry.get_manifest(repository, str(referrer.digest))
            for layer in layers_of(manifest):
                if layer.media_type != SIGSTORE_BUNDLE or layer.size > MAX_SIGNATURE_BYTES:
                    continue
                with self.registry.open_blob(repository, layer) as blob:
                    name = self.verifier.verify(blob.read(), digest, signatories)
                if name is not None:
                    found.add(name)
        return frozenset(found)

    def release(
        self, prefix: Repository, bundle: str, digest: Digest, trust: TrustPolicy
    ) -> tuple[Release, str, list[Verified]]:
        """Read a release by digest and verify it and all its components.

        Returns:
            The release, its notes, and one entry an artifact.

        Raises:
            NotFoundError: the registry does not have it.
            UnverifiedError: an artifact lacks signatures that ``trust`` demands; names the first.
            InvalidInputError: what is there is no release.

        """
        repository = prefix / bundle
        signatories = trust.signatories_for(bundle)
        _, manifest = self.registry.get_manifest(repository, str(digest))
        signed = self.signed_by(repository, digest, signatories)
        # Checked before a byte of it is believed.
        trust.check(bundle, f"release {bundle}@{digest.short}", signed)
        release, notes = read_release(self.registry, repository, manifest)
        if release.bundle != bundle:
            raise UnverifiedError(f"{repository}@{digest.short} is a release of {release.bundle}, not of {bundle}")

        def check(name: str, component: Digest) -> Verified:
            by = self.signed_by(repository / name, component, signatories)
            trust.check(bundle, f"component {bundle}/{name}@{component.short}", by)
            return Verified(f"{bundle}/{name}", repository / name, component, by)

        with ThreadPoolExecutor(PARALLEL) as pool:
            components = list(pool.map(lambda each: check(each.name, each.digest), release.components))
        return release, notes, [Verified(release.name, repository, digest, signed), *components]


def read_release(registry: Registry, repository: Repository, manifest: bytes) -> tuple[Release, str]:
    """Return the release, and its notes, that a manifest holds.

    Raises:
        InvalidInputError: it holds none.
        IntegrityError: the notes are not those the release names.

    """
    layers = layers_of(manifest)
    if not layers or layers[0].media_type != RELEASE or layers[0].size > MAX_RELEASE_BYTES:
        raise InvalidInputError(
            f"{repository} holds no UMS release at this digest", hint="was it pushed by ums publish?"
        )
    with registry.open_blob(repository, layers[0]) as blob:
        release = Release.from_bytes(blob.read())
    notes = b""
    if release.notes_digest:
        layer = next((each for each in layers if each.digest == release.notes_digest), None)
        if layer is None or layer.size > MAX_RELEASE_BYTES:
            raise IntegrityError(f"the notes that {release.name} names are not in its manifest")
        with registry.open_blob(repository, layer) as blob:
            notes = blob.read()
    return release, notes.decode("utf-8", errors="replace")


def layers_of(manifest: bytes) -> list[Descriptor]:
    """Return the layers that a manifest names.

    Raises:
        InvalidInputError: it is no manifest.

    """
    try:
        return [Descriptor.from_dict(layer) for layer in json.loads(manifest)["layers"]]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(f"not an OCI manifest: {error}") from error

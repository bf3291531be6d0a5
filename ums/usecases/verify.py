"""Verify: whose signatures an artifact carries, and whether they are enough. The same code everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ums.domain.component_artifact import check_component_config, read_component_manifest
from ums.domain.digest import Digest
from ums.domain.errors import IntegrityError, InvalidInputError, UnverifiedError
from ums.domain.oci import SIGSTORE_BUNDLE, Descriptor, Document, Repository
from ums.domain.release import Component, Release, check_release_parts, read_release_manifest
from ums.domain.strict_json import StrictJSONError
from ums.domain.trust import Signatory, TrustPolicy
from ums.ports import Registry, Verifier

MAX_SIGNATURES = 64
"""More than this many referrers are not looked at: a registry may not make us work for ever."""
MAX_SIGNATURE_BYTES = 1 << 20
MAX_RELEASE_BYTES = 4 << 20
MAX_CONFIG_BYTES = 1 << 20
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
            try:
                layers = Document.from_bytes(manifest).layers
            except InvalidInputError:
                continue  # signed by nobody, as a bundle that cannot be read is
            for layer in layers:
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
            IntegrityError: a component was made otherwise than UMS makes it.

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

        def check(component: Component) -> Verified:
            name, place = f"{bundle}/{component.name}", repository / component.name
            by = self.signed_by(place, component.digest, signatories)
            trust.check(bundle, f"component {name}@{component.digest.short}", by)
            read_component(self.registry, place, bundle, component)
            return Verified(name, place, component.digest, by)

        with ThreadPoolExecutor(PARALLEL) as pool:
            components = list(pool.map(check, release.components))
        return release, notes, [Verified(release.name, repository, digest, signed), *components]


def read_release(registry: Registry, repository: Repository, manifest: bytes) -> tuple[Release, str]:
    """Return the release, and its notes, that a manifest holds.

    Raises:
        InvalidInputError: it holds none, or has other bytes than UMS writes for the release.

    """
    try:
        layers = read_release_manifest(manifest).layers
        parts = [_read(registry, repository, layer, MAX_RELEASE_BYTES) for layer in layers]
        return check_release_parts(manifest, *parts)
    except StrictJSONError as error:
        raise InvalidInputError(
            f"{repository} holds no UMS release at this digest: {error.message}", hint="was it pushed by ums publish?"
        ) from error


def read_component(registry: Registry, repository: Repository, bundle: str, component: Component) -> Descriptor:
    """Return the one layer that Flux fetches of a component, having read manifest and configuration.

    Raises:
        IntegrityError: they have other bytes than UMS writes for the component, so that Flux may read something else
            in them.

    """
    _, content = registry.get_manifest(repository, str(component.digest))
    try:
        manifest = read_component_manifest(component, content)
        config = _read(registry, repository, manifest.config, MAX_CONFIG_BYTES)
        check_component_config(bundle, component, manifest, config)
    except InvalidInputError as error:
        raise IntegrityError(
            f"{repository}@{component.digest.short} is not a component as UMS makes it: {error.message}",
            hint="publish it again with ums publish",
        ) from error
    return manifest.layers[0]


def _read(registry: Registry, repository: Repository, descriptor: Descriptor | None, limit: int) -> bytes:
    if descriptor is None or descriptor.size > limit:
        raise StrictJSONError(f"a part of it is missing, or has more than {limit} bytes")
    with registry.open_blob(repository, descriptor) as blob:
        return blob.read()

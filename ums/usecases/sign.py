"""Sign what is in a registry: one artifact, or a release that others signed before."""

from __future__ import annotations

from dataclasses import dataclass

from ums.domain.artifact import EMPTY_BLOB, Artifact, Blob
from ums.domain.digest import Digest
from ums.domain.errors import IntegrityError, UnverifiedError
from ums.domain.oci import (
    ANNOTATION_BUNDLE_CONTENT,
    ANNOTATION_BUNDLE_PREDICATE,
    COSIGN_PREDICATE,
    SIGSTORE_BUNDLE,
    Descriptor,
    Repository,
)
from ums.domain.release import ReleaseName
from ums.domain.trust import TrustPolicy
from ums.ports import Registry, Signer
from ums.usecases.verify import Verify


@dataclass(frozen=True, slots=True)
class SignArtifact:
    """Attach a signature to an artifact."""

    registry: Registry
    signer: Signer
    verify: Verify

    def __call__(self, repository: Repository, subject: Descriptor) -> None:
        """Attach a signature unless a valid one of ours is there, and verify what the registry then serves."""
        signatory = self.signer.signatory()
        if self.verify.signed_by(repository, subject.digest, [signatory]):
            return
        signature = Artifact.assemble(
            config=EMPTY_BLOB,
            layers=(Blob.of(self.signer.sign(subject.digest), SIGSTORE_BUNDLE),),
            annotations={
                ANNOTATION_BUNDLE_CONTENT: "dsse-envelope",
                ANNOTATION_BUNDLE_PREDICATE: COSIGN_PREDICATE,
            },
            artifact_type=SIGSTORE_BUNDLE,
            subject=subject,
        )
        for blob in signature.blobs:
            self.registry.push_blob(repository, blob)
        self.registry.push_manifest(repository, signature)
        if not self.verify.signed_by(repository, subject.digest, [signatory]):
            raise IntegrityError(
                f"{repository} does not serve the signature that was just attached to {subject.digest.short}",
                hint="does this registry keep OCI referrers or the fallback tag?",
            )


@dataclass(frozen=True, slots=True)
class SignRelease:
    """Sign a release and its components with one more key, once the signatures that are there were verified."""

    registry: Registry
    verify: Verify
    sign: SignArtifact

    def __call__(self, prefix: Repository, name: ReleaseName, digest: Digest, trust: TrustPolicy) -> None:
        """Sign all of a release; the release itself last.

        Raises:
            UnverifiedError: it lacks signatures that ``trust`` demands, or is another release.
            NotFoundError: the registry does not have it.
            IntegrityError: the registry does not serve what it was given.
            UnavailableError: the registry did not answer.

        """
        release, _, verified = self.verify.release(prefix, name.bundle, digest, trust)
        if release.version != name.version:
            raise UnverifiedError(f"what is at {digest.short} is {release.name}, not {name}")
        for each in reversed(verified):
            descriptor, _ = self.registry.get_manifest(each.repository, str(each.digest))
            self.sign(each.repository, descriptor)

"""Publish: push a built release, sign it, read it back, verify it, and tell the service.

Every step looks first whether it was done already, so the same command finishes what an interrupted one began.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ums.domain.artifact import Artifact
from ums.domain.digest import Digest
from ums.domain.errors import ConflictError, IntegrityError, UnverifiedError
from ums.domain.oci import (
    Repository,
)
from ums.domain.release import Release, ReleaseName
from ums.domain.trust import Signatory
from ums.ports import Progress, Registrar, Registry, Signer
from ums.usecases.build import Built
from ums.usecases.sign import SignArtifact
from ums.usecases.verify import PARALLEL, Verify, read_release

Step = Callable[[str, str], None]
"""Called with the name of an artifact and what was just done with it."""


@dataclass(frozen=True, slots=True)
class Published:
    """Where a release is now."""

    name: ReleaseName
    repository: Repository
    digest: Digest
    registered: bool


def _ignore(_name: str, _done: str) -> None:
    """Report a step to nobody."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Push and sign with the publisher's key; the service never has it."""

    registry: Registry
    signer: Signer
    verify: Verify
    registrar: Registrar | None

    def __call__(
        self,
        built: Built,
        prefix: Repository,
        *,
        progress: Progress | None = None,
        step: Step = _ignore,
        override_floors: str = "",
    ) -> Published:
        """Publish a release. ``override_floors`` says why it may be below floors that earlier releases declare.

        Raises:
            ConflictError: the version is there already with other content.
            UnverifiedError: a component reused from the base is not signed by this signer,
                or the service does not trust the signatures.
            IntegrityError: the registry gave back something else than it was given.
            UnavailableError: the registry or the service did not answer; run the same command again.

        """
        release = built.release
        repository = prefix / release.bundle
        tag = release.version.tag
        there = self.registry.find(repository, tag)
        if there is not None and there.digest != built.artifact.descriptor.digest:
            raise ConflictError(
                f"{release.name} was published before with other content ({there.digest.short})",
                hint="versions never change: use a new --version",
            )
        signatory, sign = self.signer.signatory(), SignArtifact(self.registry, self.signer, self.verify)

        def deliver(name: str) -> None:
            artifact = built.components[name]
            self._push(repository / name, artifact, tag=tag, progress=progress)
            step(name, "pushed")
            sign(repository / name, artifact.descriptor)
            step(name, "signed")

        for name in built.reused:
            self._check_reused(release, repository / name, name, signatory)
            step(name, "reused")
        with ThreadPoolExecutor(PARALLEL) as pool:
            list(pool.map(deliver, built.components))
        # The release comes last: whoever sees it finds everything it names.
        self._push(repository, built.artifact, tag=tag, progress=progress)
        step(release.name, "pushed")
        sign(repository, built.artifact.descriptor)
        step(release.name, "signed")
        name_of_release = ReleaseName(release.bundle, release.version)
        if self.registrar is not None:
            self.registrar.register(name_of_release, built.artifact.descriptor.digest, override_floors=override_floors)
            step(release.name, "registered")
        return Published(
            name_of_release, repository, built.artifact.descriptor.digest, registered=self.registrar is not None
        )

    def _push(self, repository: Repository, artifact: Artifact, *, tag: str, progress: Progress | None) -> None:
        for blob in artifact.blobs:
            self.registry.push_blob(repository, blob, progress=progress)
        there = self.registry.find(repository, tag)
        if there is not None and there.digest == artifact.descriptor.digest:
            return
        self.registry.push_manifest(repository, artifact, tag=tag)
        _, manifest = self.registry.get_manifest(repository, str(artifact.descriptor.digest))
        if manifest != artifact.manifest:
            raise IntegrityError(f"{repository} gave back another manifest than it was given")

    def _check_reused(self, release: Release, repository: Repository, name: str, signatory: Signatory) -> None:
        component = release.component(name)
        if component is None or not self.verify.signed_by(repository, component.digest, [signatory]):
            raise UnverifiedError(
                f"component {name} of the base release is not signed by {signatory.name}",
                hint="sign the patch with the key that signed its base, or publish the whole bundle again",
            )


@dataclass(frozen=True, slots=True)
class ReadBase:
    """Read the release that a patch starts from, believing only what the publisher's own key signed."""

    registry: Registry
    verify: Verify

    def __call__(self, prefix: Repository, name: ReleaseName, signatory: Signatory) -> tuple[Release, str]:
        """Return the base release and its notes.

        Raises:
            NotFoundError: it is not in the registry.
            UnverifiedError: it is not signed by the signatory.

        """
        repository = prefix / name.bundle
        descriptor, manifest = self.registry.get_manifest(repository, name.version.tag)
        if not self.verify.signed_by(repository, descriptor.digest, [signatory]):
            raise UnverifiedError(
                f"{name} is not signed by {signatory.name}",
                hint="sign the patch with the key that signed its base",
            )
        release, notes = read_release(self.registry, repository, manifest)
        if (release.bundle, release.version) != (name.bundle, name.version):
            raise UnverifiedError(f"{repository}:{name.version.tag} holds {release.name}, not {name}")
        return release, notes

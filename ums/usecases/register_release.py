"""Register: let a published release into the catalog, after its signatures were checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ums.domain import layout
from ums.domain.bundle import ComponentKind
from ums.domain.digest import Digest
from ums.domain.errors import ConflictError, InvalidInputError, NotFoundError
from ums.domain.fleet import Given
from ums.domain.floors import below, refusal
from ums.domain.identity import ALL, Identity, Permission
from ums.domain.names import ComponentName
from ums.domain.release import Component, Release, ReleaseName
from ums.domain.rendering import ROOT, render_objects
from ums.domain.trust import TRUST
from ums.domain.world import BelowFloor, CatalogEntry, Content, Document, Objects, Raw, World
from ums.usecases.check_trust import CheckTrust
from ums.usecases.record import Change, Record
from ums.usecases.verify import Verified, Verify


@dataclass(frozen=True, slots=True)
class RegisterRelease:
    """Take a release from the registry into the release repo."""

    record: Record
    verify: Verify
    check_trust: CheckTrust

    def __call__(self, name: ReleaseName, digest: Digest, *, by: Identity, override_floors: str = "") -> CatalogEntry:
        """Register a release; the same one again changes nothing.

        Args:
            name: the release.
            digest: of its manifest.
            by: who publishes it.
            override_floors: why it may be below floors that earlier releases declare.

        Raises:
            ForbiddenError: the identity may not publish this bundle, or not override floors.
            RefusedError: it is below a floor, and no reason is given why it may be.
            ConflictError: the version is known with another digest, a name is taken, or a chart moves.
            UnverifiedError: signatures are missing.
            RefusedError: it is of bundle ``trust``, and would leave somebody without a key.
            NotFoundError: the registry does not have it.

        """
        by.require(Permission.PUBLISH, bundle=name.bundle)
        world = self.record.world()
        known = _known(world, name, digest)
        if known is not None:
            return known
        release, notes, verified = self.verify.release(world.settings.registry, name.bundle, digest, world.trust)
        if release.version != name.version:
            raise InvalidInputError(f"the manifest at {digest.short} is of {release.name}, not of {name}")
        signed_by = _common(verified)

        def change(current: World, now: datetime) -> Change:
            if _known(current, name, digest) is not None:
                return Change(current)
            _check_names(current, release)
            _check_places(current, release)
            below_floors = _below_floors(current, release, Given(by.subject, override_floors.strip(), now), by)
            trusted = self.check_trust(current, release, signed_by) if name.bundle == TRUST else None
            entry = CatalogEntry(
                release, digest, signed_by, now, by.subject, trusted=trusted, below_floors=below_floors
            )
            catalog = {**current.catalog.get(name.bundle, {}), name.version: entry}
            return Change(
                replace(current, catalog={**current.catalog, name.bundle: catalog}),
                _files(entry, notes, current),
            )

        given = f"; below a floor, because: {override_floors.strip()}" if override_floors.strip() else ""
        outcome = self.record(
            change,
            subject=f"catalog: Add {name}",
            action="register-release",
            by=by,
            reason=f"published by {by.subject}, signed by {', '.join(signed_by)}{given}",
        )
        entry = outcome.world.catalog.get(name.bundle, {}).get(name.version)
        if entry is None:
            raise NotFoundError(f"{name} vanished while it was registered", hint="run the same command again")
        return entry

    def look_again(self, name: ReleaseName, *, by: Identity) -> CatalogEntry:
        """Take down who else signed a release since it was registered; nobody who did is forgotten.

        Raises:
            ForbiddenError: the identity may not publish this bundle.
            NotFoundError: it is not in the catalog, or not in the registry.
            UnverifiedError: signatures are missing.

        """
        by.require(Permission.PUBLISH, bundle=name.bundle)
        world = self.record.world()
        digest = world.entry(name.bundle, name.version).digest
        _, _, verified = self.verify.release(world.settings.registry, name.bundle, digest, world.trust)
        found = _common(verified)

        def change(current: World, _now: datetime) -> Change:
            entry = current.entry(name.bundle, name.version)
            signed_by = tuple(sorted({*entry.signed_by, *found}))
            if entry.digest != digest or signed_by == entry.signed_by:
                return Change(current)
            after = replace(entry, signed_by=signed_by)
            return Change(
                current.with_entry(after),
                {layout.catalog_status(name.bundle, name.version): Document(after.status_document())},
            )

        outcome = self.record(
            change,
            subject=f"catalog: Take down who signed {name}",
            action="look-again",
            by=by,
            reason=f"signed by {', '.join(found)}",
        )
        return outcome.world.entry(name.bundle, name.version)


def _common(verified: Sequence[Verified]) -> tuple[str, ...]:
    """Return who signed all of a release's artifacts."""
    return tuple(sorted(frozenset.intersection(*(each.signed_by for each in verified))))


def _known(world: World, name: ReleaseName, digest: Digest) -> CatalogEntry | None:
    if (name.bundle, str(name.version)) in world.unread:
        raise ConflictError(
            f"{name} is in the catalog, but its files there cannot be read: versions never change",
            hint="ums status names the file; restore it in the release repo, or publish under a new version",
        )
    entry = world.catalog.get(name.bundle, {}).get(name.version)
    if entry is not None and entry.digest != digest:
        raise ConflictError(
            f"{name} is in the catalog with digest {entry.digest.short}, not {digest.short}: versions never change",
            hint="publish the new content under a new version",
        )
    return entry


def _below_floors(world: World, release: Release, given: Given, by: Identity) -> tuple[BelowFloor, ...]:
    """Return the floors that a release is below with a reason, and by whoever may decide that."""
    components = release.component_versions
    missed = below(world.floors(release.bundle), release.bundle, release.version, components, given.since)
    if missed and not given.reason:
        raise refusal(release.name, missed, components)
    if missed:
        by.require(Permission.PROMOTE, bundle=release.bundle, channel=ALL, org=ALL)
    if given.reason and not missed:
        raise InvalidInputError(f"{release.name} is below no floor", hint="publish it without --override-floors")
    return tuple(BelowFloor(str(each), given) for each in missed)


def _check_names(world: World, release: Release) -> None:
    """Refuse a name that another component, or UMS itself, already gives to Kubernetes objects."""
    taken = {ROOT: "UMS itself"}
    for bundle, versions in world.catalog.items():
        for entry in versions.values():
            for component in entry.release.components:
                taken |= dict.fromkeys(_object_names(bundle, component), f"{bundle}/{component.name}")
    for component in release.components:
        own = f"{release.bundle}/{component.name}"
        for name in _object_names(release.bundle, component):
            if taken.setdefault(name, own) != own:
                raise ConflictError(
                    f"the objects of {own} would be called {name}, as those of {taken[name]}",
                    hint="rename the component",
                )


def _object_names(bundle: str, component: Component) -> tuple[str, ...]:
    name = ComponentName(bundle, component.name)
    charts = component.kind is ComponentKind.CHART
    return (name.object_name,) if charts else (name.object_name, name.content_name)


def _check_places(world: World, release: Release) -> None:
    """Refuse a chart that is installed elsewhere than before: Flux would uninstall it, and clusters refuse that."""
    for entry in world.catalog.get(release.bundle, {}).values():
        for before in entry.release.components:
            after = release.component(before.name)
            if after is None or ComponentKind.MANIFESTS in {after.kind, before.kind}:
                continue
            if (after.release_name, after.namespace) != (before.release_name, before.namespace):
                raise ConflictError(
                    f"{release.bundle}/{before.name} would move from release {before.release_name} in namespace "
                    f"{before.namespace}, as in {entry.release.name}, to {after.release_name} in {after.namespace}",
                    hint="Flux would uninstall it first: give it another name, and list the old one under removes",
                )


def _files(entry: CatalogEntry, notes: str, world: World) -> dict[str, Content | None]:
    release = entry.release
    files: dict[str, Content | None] = {
        layout.catalog_release(release.bundle, release.version): Raw(release.to_bytes()),
        layout.catalog_status(release.bundle, release.version): Document(entry.status_document()),
    }
    if notes:
        files[layout.catalog_notes(release.bundle, release.version)] = Raw(notes.encode())
    for component in release.components:
        files[layout.catalog_objects(release.bundle, release.version, component.name)] = Objects(
            render_objects(release.bundle, component, world.settings)
        )
    return files

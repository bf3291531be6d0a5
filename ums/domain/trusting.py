"""Releases of bundle ``trust``: keys and the guard, brought to clusters as everything else is.

They are the only way, besides bootstrap, by which these change, and it takes both keys: a release key signs the
artifact, and the state key the commit that names its digest. Each is a barrier, so that a data plane takes one after
the other and always knows a key that signed the next; and none can be undone, which the guard itself sees to.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ums.domain.bundle import ComponentKind
from ums.domain.errors import Reason
from ums.domain.fleet import DataPlane
from ums.domain.guard import GUARD, TRUST_ANNOTATION, render_rules
from ums.domain.lanes import possible_releases
from ums.domain.names import PDPName
from ums.domain.release import Release, ReleaseName
from ums.domain.rendering import NAMESPACE, PRUNE_ANNOTATION, RELEASE_KEYS, STATE_KEYS, TRUST_STATE
from ums.domain.trust import TRUST, Trusted
from ums.domain.version import Version
from ums.domain.world import FleetSettings, World

COMPONENT = "guard"
"""The one component that a release of bundle ``trust`` has."""
_MAX_GAP = 1000
_WHO = "an admin (trust.yaml, ums keys rotate)"


def trust_version(number: int) -> Version:
    """Return the version of the release with a number."""
    return Version(f"{number}.0.0")


def newest_trust(world: World) -> Version | None:
    """Return the newest release of bundle ``trust``, or ``None`` before the first."""
    return max(world.catalog.get(TRUST, {}), default=None)


def number_of(version: Version | None) -> int:
    """Return the number of a release of bundle ``trust``; 0 is what bootstrap brought before the first."""
    return version.parsed.major if version else 0


def render_trust(trusted: Trusted, settings: FleetSettings, number: int) -> list[dict[str, Any]]:
    """Return the objects of a release: keys, guard, and the number that must never fall. All clusters get the same."""
    state_keys = {f"state-{index}.sshpub": key for index, key in enumerate(trusted.state_keys, start=1)}
    objects = [
        *render_rules(settings),
        _secret(RELEASE_KEYS, {f"{name}.pub": key for name, key in trusted.release_keys.items()}),
        _secret(STATE_KEYS, state_keys),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": TRUST_STATE, "namespace": NAMESPACE},
            "data": {"number": str(number)},
        },
    ]
    for each in objects:
        # Whatever else may once be applied under this component's name: none of it is taken away.
        annotations = {PRUNE_ANNOTATION: "disabled", TRUST_ANNOTATION: f"{number}.{GUARD}"}
        each["metadata"] = {**each["metadata"], "annotations": annotations}
    return objects


def _secret(name: str, content: Mapping[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        # Not as stringData: of that, a later server-side apply takes no key away.
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in content.items()},
    }


def trust_problems(world: World, release: Release, signed_by: Collection[str], *, state_key: str) -> tuple[Reason, ...]:
    """Return all that speaks against letting a release of bundle ``trust`` into the catalog.

    Args:
        world: what there is; the release brings the keys that its ``trust.yaml`` names.
        release: of bundle ``trust``.
        signed_by: whose signatures it and its component carry.
        state_key: that the service signs with (OpenSSH form).

    """
    new, before = world.trust.trusted, world.trusted_by(newest_trust(world))
    found = _form(world, release)
    found += [
        f"release key {name} is another one than data planes know by that name: give it a new name"
        for name, key in new.release_keys.items()
        if any(each.release_keys.get(name, key).strip() != key.strip() for each in world.every_trusted())
    ]
    if not before.knows_any(signed_by):
        known = " or ".join(before.release_keys)
        found.append(f"no key that data planes know has signed it: sign it with {known}, too")
    if not new.knows_any(signed_by):
        ours = " or ".join(new.release_keys) or "none"
        found.append(
            f"no key that it brings has signed it, and Flux verifies it again whenever it restarts: sign it with {ours}"
        )
    if state_key not in new.state_keys:
        found.append("it does not bring the key that this service signs commits with: name it in trust.yaml")
    return (
        *(Reason("trust", text, None, _WHO) for text in found),
        *stranded_by(world, new),
    )


def _possible(plane: DataPlane) -> tuple[Version, ...]:
    state = plane.state_of(TRUST)
    return possible_releases(plane, state) if state else ()


def surest_trust(world: World, plane: DataPlane) -> Version | None:
    """Return the release of the bundle that a data plane surely has; ``None`` is what bootstrap brought."""
    found = _possible(plane)[:1]
    return found[0] if found and found[0] in world.catalog.get(TRUST, {}) else None


def unaware_of_release_key(world: World, name: str) -> list[PDPName]:
    """Return the data planes that may not know a release key yet."""
    return _unaware(world, lambda trusted: name in trusted.release_keys)


def unaware_of_state_key(world: World, key: str) -> list[PDPName]:
    """Return the data planes that may not know a state key (OpenSSH form) yet: they would refuse what it signs."""
    return _unaware(world, lambda trusted: key in trusted.state_keys)


def _unaware(world: World, knows: Callable[[Trusted], bool]) -> list[PDPName]:
    return [
        name
        for name, plane in world.planes.items()
        if not all(knows(world.trusted_by(each)) for each in _possible(plane))
    ]


def key_changes(before: Trusted, after: Trusted) -> tuple[str, ...]:
    """Return what differs between two sets of keys, in words."""
    release_keys, state_keys = before.release_keys, before.state_keys
    return (
        *(f"adds release key {name}" for name in after.release_keys if name not in release_keys),
        *(f"drops release key {name}" for name in release_keys if name not in after.release_keys),
        *(f"adds state key {key}" for key in after.state_keys if key not in state_keys),
        *(f"drops state key {key}" for key in state_keys if key not in after.state_keys),
    )


def _form(world: World, release: Release) -> list[str]:
    found = []
    number, newest = number_of(release.version), number_of(newest_trust(world))
    # One that was pushed and then refused leaves a gap. A wide one would soon leave no number that clusters can read.
    if release.version != trust_version(number) or not newest < number <= newest + _MAX_GAP:
        found.append(f"the next release of bundle {TRUST} is {trust_version(newest + 1)}, not {release.version}")
    if not (release.upgrade.barrier and release.upgrade.irreversible) or release.upgrade.from_versions is not None:
        found.append("it must be a barrier, irreversible, and open from all before it")
    requires = release.requires
    if requires.kubernetes or requires.flux or requires.bundles or release.removes:
        found.append("it may require nothing, and remove nothing")
    components = [(each.name, each.kind, each.namespace) for each in release.components]
    if components != [(COMPONENT, ComponentKind.MANIFESTS, NAMESPACE)]:
        found.append(f"it must have one component, {COMPONENT}, of manifests, in namespace {NAMESPACE}")
    return found


def stranded_by(world: World, trusted: Trusted) -> tuple[Reason, ...]:
    """Return the releases that data planes run or channels give, and that none of these keys signed.

    Flux verifies what runs again whenever source-controller restarts: with no key that it knows, it stays without.
    """
    used = {
        ReleaseName(bundle, version)
        for plane in world.planes.values()
        for bundle, state in (plane.desired.bundles.items() if plane.desired else ())
        for version in (state.release, *state.components.values())
    }
    used |= {
        ReleaseName(bundle, track.head.release)
        for channel in world.channels.values()
        for bundle, track in channel.tracks.items()
    }
    found = []
    for name in sorted(used, key=str):
        entry = world.catalog.get(name.bundle, {}).get(name.version)
        if entry is not None and name.bundle != TRUST and not trusted.knows_any(entry.signed_by):
            text = f"{name} is in use, and was signed by {' and '.join(entry.signed_by)} alone"
            found.append(Reason("signed-by-none", text, None, f"a publisher (ums keys sign {name})"))
    return tuple(found)

"""What registrations add to what is released: which values of a single data plane are due, wait, or have no effect.

Values are the operator's own act on its own data plane: no wave, window or limit keeps them. A freeze does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from ums.domain import layout
from ums.domain.bundle import ComponentKind
from ums.domain.errors import InvalidInputError, SpecError
from ums.domain.fleet import BundleState, DataPlane, Registration
from ums.domain.freezes import Freeze
from ums.domain.values import values_text
from ums.domain.version import Version
from ums.domain.world import World


def has_values(plane: DataPlane) -> bool:
    """Return whether a data plane has values of its own, or was offered some."""
    if plane.registration.values:
        return True
    return plane.desired is not None and any(state.values for state in plane.desired.bundles.values())


def tailored(
    world: World, plane: DataPlane, bundles: Mapping[str, BundleState], now: datetime
) -> dict[str, BundleState]:
    """Return states with the values that a data plane is to have with them; in a freeze, those that it has."""
    return {
        bundle: replace(state, values=_wanted(world, plane, bundle, state))
        if _freeze_on(world, plane, bundle, now) is None
        else state
        for bundle, state in bundles.items()
    }


def waiting(world: World, plane: DataPlane, now: datetime) -> Iterator[tuple[str, Freeze]]:
    """Yield each bundle for which a data plane is to have other values than it has, and what keeps it from them."""
    for bundle, state in plane.desired.bundles.items() if plane.desired else ():
        freeze = _freeze_on(world, plane, bundle, now)
        if freeze is not None and _wanted(world, plane, bundle, state) != state.values:
            yield bundle, freeze


def unused_values(world: World) -> Iterator[SpecError]:
    """Yield what registrations give values to that takes none where it runs, or does not run there at all."""
    for name, plane in sorted(world.planes.items()):
        for bundle, components in plane.registration.values.items():
            state = plane.desired.bundles.get(bundle) if plane.desired else None
            for component in components:
                problem = _problem(world, plane.registration, bundle, component, state)
                if problem:
                    file = layout.fleet_registration(name)
                    yield SpecError(f"{problem}; they have no effect", file=file, field=f"values.{bundle}.{component}")


def require_charts(world: World, registration: Registration) -> None:
    """Check that there may be a chart for all values of a registration, be it one that it does not have yet.

    Raises:
        InvalidInputError: there is none.

    """
    for bundle, components in registration.values.items():
        for component in components:
            problem = _problem(world, registration, bundle, component, None)
            if problem:
                raise InvalidInputError(
                    f"values.{bundle}.{component}: {problem}",
                    hint="values are by bundle and component; ums release show names the components of a release",
                )


def _wanted(world: World, plane: DataPlane, bundle: str, state: BundleState) -> dict[str, str]:
    given = plane.registration.values.get(bundle, {})
    return {
        component: text
        for component, version in state.components.items()
        if (text := values_text(given.get(component, {})))
        and _kind(world, bundle, version, component) is ComponentKind.CHART
    }


def _freeze_on(world: World, plane: DataPlane, bundle: str, now: datetime) -> Freeze | None:
    channel = plane.registration.channel
    for freeze in world.freezes:
        scope = freeze.scope
        if freeze.given.active(now) and scope.covers(channel=channel, bundle=bundle) and scope.covers_plane(plane.name):
            return freeze
    return None


def _kind(world: World, bundle: str, version: Version, component: str) -> ComponentKind | None:
    entry = world.catalog.get(bundle, {}).get(version)
    found = entry.release.component(component) if entry else None
    return found.kind if found else None


def _problem(
    world: World, registration: Registration, bundle: str, component: str, state: BundleState | None
) -> str | None:
    """Return why values have no effect: in a state, or – without one – in any release there is."""
    if state is None and bundle not in registration.bundles:
        return f"{registration.name} does not subscribe to {bundle}"
    if state is not None:
        where = f"{bundle}@{state.release}"
        kinds = (
            {_kind(world, bundle, state.components[component], component)} if component in state.components else set()
        )
    else:
        where = f"no release of {bundle}"
        kinds = {_kind(world, bundle, version, component) for version in world.catalog.get(bundle, {})}
        if not kinds:
            return None  # nothing was published yet
    kinds -= {None}
    if ComponentKind.CHART in kinds:
        return None
    if kinds:
        return f"{component} is manifests, which take no values"
    return f"{where} has a component {component}" if state is None else f"{where} has no component {component}"

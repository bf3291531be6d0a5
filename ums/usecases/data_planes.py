"""Register a data plane, and write the YAML that connects its cluster."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ums.domain import layout
from ums.domain.bootstrapping import check_cluster, render_bootstrap
from ums.domain.clock import HINT, is_too_far_ahead
from ums.domain.errors import ConflictError, NotFoundError, UnavailableError
from ums.domain.fleet import DataPlane, Registration
from ums.domain.identity import Identity, Permission
from ums.domain.names import PDPName
from ums.domain.security_log import SecurityKind
from ums.domain.tailoring import require_charts
from ums.domain.world import Document, Topology, World
from ums.ports import CredentialSource
from ums.usecases.record import Change, Outcome, Record, unchanged
from ums.usecases.security_events import SecurityEvents

_SCHEMA_HINT = "yaml-language-server: $schema=../../../schemas/registration.schema.json"
"""People edit the file from here on; with this, editors complete it."""


def require_for(registration: Registration, by: Identity) -> None:
    """Make sure that somebody may register this data plane: in its organization and channel, with all its bundles.

    Raises:
        ForbiddenError: the identity may not.

    """
    for bundle in registration.bundles:
        by.require(Permission.REGISTER, bundle=bundle, channel=registration.channel, org=registration.name.org)


@dataclass(frozen=True, slots=True)
class AddDataPlane:
    """Register a data plane: it gets its first state at once."""

    record: Record

    def __call__(self, registration: Registration, *, by: Identity, dry_run: bool = False) -> Outcome:
        """Add a data plane; the same registration again changes nothing.

        One whose name was removed before goes on upwards: a higher serial, and credentials that never were.

        Raises:
            ForbiddenError: the identity may not register.
            NotFoundError: there is no such channel.
            InvalidInputError: it has values for what is no chart.
            ConflictError: the name is taken by another registration.

        """
        require_for(registration, by)

        def change(world: World, _now: datetime) -> Change:
            world.channel(registration.channel)
            known = world.planes.get(registration.name)
            if known is not None and known.registration == registration:
                return unchanged(world)
            if known is not None:
                raise ConflictError(
                    f"{registration.name} is registered already, in channel {known.registration.channel}",
                    hint=f"edit {layout.fleet_registration(registration.name)} in the release repo",
                )
            require_charts(world, registration)
            path, content = layout.fleet_registration(registration.name), Document(registration.to_dict(), _SCHEMA_HINT)
            return Change(
                world.with_plane(DataPlane(registration, retired=world.retired.get(registration.name))),
                {path: content, layout.in_force(path): content},
            )

        return self.record(
            change,
            subject=f"fleet/{registration.name}: Register",
            action="pdp-add",
            by=by,
            reason=f"follows {registration.channel}",
            dry_run=dry_run,
        )


@dataclass(frozen=True, slots=True)
class BootstrapDataPlane:
    """Write what an administrator applies once in the cluster."""

    record: Record
    credentials: CredentialSource
    security: SecurityEvents
    host: str = ""
    """URL of the Git host that the release repo is pushed to."""

    def __call__(
        self,
        pdp: PDPName,
        *,
        by: Identity,
        topology: Topology | None = None,
        reporter: str | None = None,
        unsealed: bool = False,
    ) -> list[dict[str, Any]]:
        """Return the objects, in the order to apply them. They contain secrets.

        Args:
            pdp: whose cluster is connected.
            by: who asks.
            topology: what its cluster follows; the fleet's unless given.
            reporter: image of the reporter, where there is to be one.
            unsealed: open the cluster to values from its registration.

        Raises:
            InvalidInputError: ``reporter`` is no image.
            ConflictError: its credential does not open the topology, it has values while sealed, or cannot be opened.
            RefusedError: its cluster is known to be too old.
            ForbiddenError: the identity may not register data planes.
            NotFoundError: there is no such data plane, or it was offered nothing yet.
            UnavailableError: its serial is too far ahead of the clock.
            UnavailableError, StorageError: that they were shown could not be kept, so they are not.

        """
        by.require(Permission.REGISTER, org=pdp.org)
        world = self.record.world()
        plane = world.plane(pdp)
        if plane.desired is None:
            raise NotFoundError(f"{pdp} was offered no state yet", hint="try again in a moment")
        check_cluster(plane)
        if is_too_far_ahead(plane.desired.serial, self.record.clock.now()):
            # Bootstrap itself is not subject to the guard: the cluster would take the serial, and nothing after it.
            raise UnavailableError(f"the state of {pdp} has a serial that is far ahead of the clock", hint=HINT)
        generation = plane.generation
        credentials = self.credentials.credentials(pdp, generation=generation)
        objects = render_bootstrap(
            world,
            pdp,
            plane.desired,
            credentials,
            topology=topology,
            host=self.host,
            reporter=reporter,
            unsealed=unsealed,
        )
        with self.security.recording(
            SecurityKind.PLANE_BOOTSTRAPPED, subject=by.subject, pdp=str(pdp), generation=generation
        ):
            return objects

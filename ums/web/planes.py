"""Routes of data planes: what they are, what they report, and the instructions given to them."""

from __future__ import annotations

from bisect import bisect_right
from itertools import islice
from typing import Any

from flask import Response, jsonify
from werkzeug.exceptions import RequestEntityTooLarge

from ums import __version__
from ums.domain import strict_json
from ums.domain.errors import InvalidInputError
from ums.domain.fleet import Facts, Registration
from ums.domain.names import PDPName
from ums.domain.release import ReleaseName
from ums.domain.strict_json import StrictJSONError
from ums.domain.version import Version, VersionRange
from ums.services import Services
from ums.usecases.instruct import Subject
from ums.usecases.record import Outcome
from ums.web import answers
from ums.web.observing import note
from ums.web.openapi import Area, RawJSON, asker, changes, hands_out, hears, reads, secret, sight
from ums.web.paging import page, start_of
from ums.web.requests import (
    MAX_BODY_BYTES,
    AcceptBody,
    BootstrapQuery,
    ConsentBody,
    InstructBody,
    NewestQuery,
    PlaneBody,
    PlaneChangeBody,
    PlanePath,
    PlanesQuery,
    ReasonBody,
    RotateBody,
    why_of,
)
from ums.web.views import cluster_view, credentials_view, outcome_view, plane_view


def add_plane_routes(api: Area, services: Services) -> None:
    """Add the routes."""
    _plane_routes(api, services)
    _credential_routes(api, services)
    _instruction_routes(api, services)
    _consent_routes(api, services)


def _plane_routes(api: Area, services: Services) -> None:
    @api.get("/pdps", responses=reads(answers.Planes))
    def planes(query: PlanesQuery) -> Response:
        """List data planes, by name."""
        seen = sight(services)
        world, now = seen.world, seen.now
        start = start_of(query, PDPName.parse)
        # Names as text: to compare ten thousand objects would take longer than all the rest.
        names = sorted((name.org, name.pdp) for name in world.planes)
        if start is not None:
            names = names[bisect_right(names, (start.org, start.pdp)) :]
        wanted = (
            plane
            for plane in (world.planes[PDPName(*name)] for name in names)
            if query.channel in {None, plane.registration.channel}
            and query.org in {None, plane.name.org}
            and (query.bundle is None or query.bundle in world.bundles_of(plane))
            and query.health in {None, plane.health(now)}
        )
        found = list(islice(wanted, None if query.limit is None else query.limit + 1))
        return page(found, query.limit, name=lambda each: str(each.name), view=lambda each: plane_view(each, now))

    @api.post("/pdps", responses=changes(answers.Recorded, 200, 201))
    def add_plane(body: PlaneBody) -> tuple[Response, int]:
        """Register a data plane."""
        by = asker()
        registration = Registration(
            PDPName.parse(body.pdp),
            body.channel,
            tuple(body.bundles),
            body.labels,
            body.management,
            ask=body.ask,
            standing_consent=frozenset(body.standing_consent),
            wariness=body.wariness,
            volunteer=body.volunteer,
            facts=Facts.parse(body.kubernetes, body.flux),
            values=body.values,
            sealed=body.sealed,
        )
        outcome = services.add_data_plane(registration, by=by, dry_run=body.dry_run)
        return _answer(registration.name, outcome), 200 if body.dry_run else 201

    @api.get("/pdps/<org>/<pdp>", responses=reads(answers.PlaneInFull))
    def plane(path: PlanePath) -> Response:
        """Show a data plane, and why it does not move."""
        seen = sight(services)
        found = seen.world.plane(path.name)
        plan = seen.plan(found.registration.channel)
        withheld = [each.to_dict() for each in plan.withheld if each.pdp == found.name]
        cluster = cluster_view(services.see.cluster(asker(), found.name))
        values = {bundle: dict(components) for bundle, components in found.registration.values.items()}
        more = {
            "credentials": credentials_view(found, seen.now),
            "cluster": cluster,
            "values": values,
            "withheld": withheld,
        }
        return jsonify({**plane_view(found, seen.now), **more})

    @api.post("/pdps/<org>/<pdp>/registration", responses=changes(answers.Recorded))
    def change_plane(path: PlanePath, body: PlaneChangeBody) -> Response:
        """Change a registration."""
        by, name = asker(), path.name
        return _answer(name, services.change_data_plane(name, body.apply, why_of(by, body), dry_run=body.dry_run))

    @api.post("/pdps/<org>/<pdp>/remove", responses=changes(answers.Recorded))
    def remove_plane(path: PlanePath, body: ReasonBody) -> Response:
        """Remove a data plane: its credentials end, and what runs in its cluster runs on."""
        by, name = asker(), path.name
        return _answer(name, services.remove_data_plane(name, why_of(by, body), dry_run=body.dry_run))

    @api.get("/pdps/<org>/<pdp>/explanation", responses=reads(answers.Explanations))
    def explanation(path: PlanePath) -> Response:
        """Explain why a data plane is where it is."""
        name = path.name
        return jsonify({"pdp": str(name), "items": [each.to_dict() for each in sight(services).explain(name)]})

    @api.get("/pdps/<org>/<pdp>/history", responses=reads(answers.History))
    def history(path: PlanePath, query: NewestQuery) -> Response:
        """List what a data plane said of its health whenever that became another, newest first."""
        name = path.name
        found = services.see.history(asker(), name, limit=query.limit)
        return jsonify({"pdp": str(name), "items": [each.to_dict() for each in found]})


def _credential_routes(api: Area, services: Services) -> None:
    @api.get("/pdps/<org>/<pdp>/bootstrap", responses=hands_out(answers.Bootstrap))
    def bootstrap(path: PlanePath, query: BootstrapQuery) -> Response:
        """Make the objects that connect a cluster; secrets are among them."""
        by, image = asker(), query.reporter_image
        if image is not None and not query.reporter:
            raise InvalidInputError("reporterImage is given, but no reporter is asked for")
        if query.reporter and image is None:
            image = f"{services.see.settings().registry}/ums:{__version__}"
        return secret(
            {
                "objects": services.bootstrap_data_plane(
                    path.name, by=by, topology=query.topology, reporter=image, unsealed=query.unsealed
                )
            }
        )

    @api.post("/pdps/<org>/<pdp>/rotate", responses=changes(answers.Rotated))
    def rotate(path: PlanePath, body: RotateBody) -> Response:
        """Make new credentials, beside which the previous ones are good for a while; these are shown this once."""
        by, name = asker(), path.name
        rotated = services.rotate_credentials(name, why_of(by, body), overlap=body.span, dry_run=body.dry_run)
        view = outcome_view(rotated.outcome, lambda pdp: pdp == name)
        credentials = credentials_view(rotated.plane, services.clock.now())
        return secret({**view, **credentials, "objects": rotated.secrets})

    @api.post("/pdps/<org>/<pdp>/finish-rotation", responses=changes(answers.Recorded))
    def finish_rotation(path: PlanePath, body: ReasonBody) -> Response:
        """End the previous credentials at once."""
        by, name = asker(), path.name
        return _answer(name, services.rotate_credentials.finish(name, why_of(by, body), dry_run=body.dry_run))


def add_event_route(api: Area, services: Services) -> None:
    """Add the routes on which data planes report; they are signed, and want no token."""

    @api.post("/pdps/<org>/<pdp>/events", responses=hears(answers.Heard))
    def report_event(path: PlanePath, raw: RawJSON) -> tuple[Response, int]:
        """Hear what a data plane says of itself: an event of Flux's notification-controller."""
        recorded = services.record_event(path.name, _signed(services, path.name, raw))
        note(event="recorded" if recorded else "known")
        return jsonify({"recorded": recorded}), 202

    @api.post("/pdps/<org>/<pdp>/report", responses=hears(answers.Heard))
    def report_cluster(path: PlanePath, raw: RawJSON) -> tuple[Response, int]:
        """Hear what the reporter saw in a cluster: the time there, versions and images."""
        recorded = services.record_cluster(path.name, _signed(services, path.name, raw))
        return jsonify({"recorded": recorded}), 202


def _signed(services: Services, name: PDPName, raw: RawJSON) -> Any:  # noqa: ANN401 - any JSON value
    body = raw.get_data()
    if raw.content_length is None and len(body) >= MAX_BODY_BYTES:
        raise RequestEntityTooLarge  # it came in pieces, and was cut off
    services.authenticate_plane.by_signature(name, body, raw.headers.get("X-Signature", ""))
    note(subject=str(name))
    try:
        return strict_json.loads(body, go=False)
    except StrictJSONError as error:
        raise InvalidInputError(f"what was sent is not JSON: {error.message}") from error


def _instruction_routes(api: Area, services: Services) -> None:
    instruct = services.instruct

    @api.post("/pdps/<org>/<pdp>/pins", responses=changes(answers.Recorded))
    def pin(path: PlanePath, body: InstructBody) -> Response:
        """Keep a bundle or component within versions."""
        by, name = asker(), path.name
        versions = VersionRange(body.versions) if body.versions else None
        subject = Subject.parse(body.subject)
        return _answer(name, instruct.pin(name, subject, versions, why_of(by, body), dry_run=body.dry_run))

    @api.post("/pdps/<org>/<pdp>/unpins", responses=changes(answers.Recorded))
    def unpin(path: PlanePath, body: InstructBody) -> Response:
        """End a pin."""
        by, name = asker(), path.name
        subject = Subject.parse(body.subject)
        return _answer(name, instruct.unpin(name, subject, why_of(by, body), dry_run=body.dry_run))

    @api.post("/pdps/<org>/<pdp>/holds", responses=changes(answers.Recorded))
    def hold(path: PlanePath, body: InstructBody) -> Response:
        """Keep a bundle or component where it is, or at a release."""
        by, name = asker(), path.name
        release = Version(body.release) if body.release else None
        subject = Subject.parse(body.subject)
        return _answer(name, instruct.hold(name, subject, release, why_of(by, body), dry_run=body.dry_run))

    @api.post("/pdps/<org>/<pdp>/unholds", responses=changes(answers.Recorded))
    def unhold(path: PlanePath, body: InstructBody) -> Response:
        """End a hold."""
        by, name = asker(), path.name
        subject = Subject.parse(body.subject)
        return _answer(name, instruct.unhold(name, subject, why_of(by, body), dry_run=body.dry_run))

    @api.post("/pdps/<org>/<pdp>/rollbacks", responses=changes(answers.Recorded))
    def roll_back(path: PlanePath, body: InstructBody) -> Response:
        """Take a data plane back to an earlier release, and hold it there."""
        by, name = asker(), path.name
        subject, release = Subject.parse(body.subject), body.release_to_go_back_to()
        return _answer(name, instruct.roll_back(name, subject, release, why_of(by, body), dry_run=body.dry_run))


def _consent_routes(api: Area, services: Services) -> None:
    @api.post("/pdps/<org>/<pdp>/consents", responses=changes(answers.Recorded))
    def consent(path: PlanePath, body: ConsentBody) -> Response:
        """Agree to a release as the owner."""
        by, name = asker(), path.name
        release = ReleaseName.parse(body.release)
        return _answer(name, services.instruct.consent(name, release, why_of(by, body), dry_run=body.dry_run))

    @api.post("/pdps/<org>/<pdp>/accepted-risks", responses=changes(answers.Recorded))
    def accept_risk(path: PlanePath, body: AcceptBody) -> Response:
        """Take a risk as the owner."""
        by, name = asker(), path.name
        return _answer(name, services.declare_risk.accept(name, body.risk, why_of(by, body), dry_run=body.dry_run))


def _answer(name: PDPName, outcome: Outcome) -> Response:
    return jsonify(outcome_view(outcome, lambda pdp: pdp == name))

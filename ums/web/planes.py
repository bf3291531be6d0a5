"""Routes of data planes: what they are, what they report, and the instructions given to them."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, jsonify, request

from ums.domain.errors import InvalidInputError
from ums.domain.fleet import Facts, Registration
from ums.domain.names import PDPName
from ums.domain.release import ReleaseName
from ums.domain.version import Version, VersionRange
from ums.services import Services
from ums.usecases.instruct import Subject
from ums.usecases.record import Outcome
from ums.web.auth import identify
from ums.web.requests import (
    AcceptBody,
    ConsentBody,
    InstructBody,
    PlaneBody,
    PlaneChangeBody,
    read_body,
    why_of,
)
from ums.web.rollouts import channel_plan
from ums.web.views import outcome_view, plane_view


def add_plane_routes(api: Blueprint, services: Services) -> None:
    """Add the routes."""
    _plane_routes(api, services)
    _report_routes(api, services)
    _instruction_routes(api, services)
    _consent_routes(api, services)


def _plane_routes(api: Blueprint, services: Services) -> None:
    @api.get("/pdps")
    def planes() -> Response:
        identify(services, request)
        world, now = services.record.world(), services.clock.now()
        wanted = request.args.get("channel")
        items = [
            plane_view(plane, now)
            for _, plane in sorted(world.planes.items())
            if wanted in {None, plane.registration.channel}
        ]
        return jsonify({"items": items})

    @api.post("/pdps")
    def add() -> tuple[Response, int]:
        by, body = identify(services, request), read_body(PlaneBody)
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
        )
        outcome = services.add_data_plane(registration, by=by, dry_run=body.dry_run)
        return _answer(registration.name, outcome), 200 if body.dry_run else 201

    @api.get("/pdps/<org>/<pdp>")
    def plane(org: str, pdp: str) -> Response:
        identify(services, request)
        world, now = services.record.world(), services.clock.now()
        found = world.plane(PDPName(org, pdp))
        plan = channel_plan(world, found.registration.channel, now)
        withheld = [each.to_dict() for each in plan.withheld if each.pdp == found.name]
        return jsonify({**plane_view(found, now), "withheld": withheld})

    @api.post("/pdps/<org>/<pdp>/registration")
    def change(org: str, pdp: str) -> Response:
        by, body, name = identify(services, request), read_body(PlaneChangeBody), PDPName(org, pdp)
        return _answer(name, services.change_data_plane(name, body.apply, why_of(by, body), dry_run=body.dry_run))

    @api.get("/pdps/<org>/<pdp>/explanation")
    def explanation(org: str, pdp: str) -> Response:
        identify(services, request)
        name = PDPName(org, pdp)
        return jsonify({"pdp": str(name), "items": [each.to_dict() for each in services.explain(name)]})


def _report_routes(api: Blueprint, services: Services) -> None:
    @api.get("/pdps/<org>/<pdp>/bootstrap")
    def bootstrap(org: str, pdp: str) -> Response:
        by = identify(services, request)
        response = jsonify({"objects": services.bootstrap_data_plane(PDPName(org, pdp), by=by)})
        response.headers["Cache-Control"] = "no-store"
        return response

    @api.post("/pdps/<org>/<pdp>/events")
    def event(org: str, pdp: str) -> tuple[Response, int]:
        name, body = PDPName(org, pdp), request.get_data()
        services.authenticate_plane.by_signature(name, body, request.headers.get("X-Signature", ""))
        try:
            parsed: Any = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise InvalidInputError("the event is not JSON") from error
        return jsonify({"recorded": services.record_event(name, parsed)}), 202


def _instruction_routes(api: Blueprint, services: Services) -> None:
    instruct = services.instruct

    @api.post("/pdps/<org>/<pdp>/pins")
    def pin(org: str, pdp: str) -> Response:
        by, body, name = identify(services, request), read_body(InstructBody), PDPName(org, pdp)
        versions = VersionRange(body.versions) if body.versions else None
        subject = Subject.parse(body.subject)
        return _answer(name, instruct.pin(name, subject, versions, why_of(by, body), dry_run=body.dry_run))

    @api.post("/pdps/<org>/<pdp>/unpins")
    def unpin(org: str, pdp: str) -> Response:
        by, body, name = identify(services, request), read_body(InstructBody), PDPName(org, pdp)
        subject = Subject.parse(body.subject)
        return _answer(name, instruct.unpin(name, subject, why_of(by, body), dry_run=body.dry_run))

    @api.post("/pdps/<org>/<pdp>/holds")
    def hold(org: str, pdp: str) -> Response:
        by, body, name = identify(services, request), read_body(InstructBody), PDPName(org, pdp)
        release = Version(body.release) if body.release else None
        subject = Subject.parse(body.subject)
        return _answer(name, instruct.hold(name, subject, release, why_of(by, body), dry_run=body.dry_run))

    @api.post("/pdps/<org>/<pdp>/unholds")
    def unhold(org: str, pdp: str) -> Response:
        by, body, name = identify(services, request), read_body(InstructBody), PDPName(org, pdp)
        subject = Subject.parse(body.subject)
        return _answer(name, instruct.unhold(name, subject, why_of(by, body), dry_run=body.dry_run))

    @api.post("/pdps/<org>/<pdp>/rollbacks")
    def roll_back(org: str, pdp: str) -> Response:
        by, body, name = identify(services, request), read_body(InstructBody), PDPName(org, pdp)
        subject, release = Subject.parse(body.subject), body.release_to_go_back_to()
        return _answer(name, instruct.roll_back(name, subject, release, why_of(by, body), dry_run=body.dry_run))


def _consent_routes(api: Blueprint, services: Services) -> None:
    @api.post("/pdps/<org>/<pdp>/consents")
    def consent(org: str, pdp: str) -> Response:
        by, body, name = identify(services, request), read_body(ConsentBody), PDPName(org, pdp)
        release = ReleaseName.parse(body.release)
        return _answer(name, services.instruct.consent(name, release, why_of(by, body), dry_run=body.dry_run))

    @api.post("/pdps/<org>/<pdp>/accepted-risks")
    def accept(org: str, pdp: str) -> Response:
        by, body, name = identify(services, request), read_body(AcceptBody), PDPName(org, pdp)
        return _answer(name, services.declare_risk.accept(name, body.risk, why_of(by, body), dry_run=body.dry_run))


def _answer(name: PDPName, outcome: Outcome) -> Response:
    return jsonify(outcome_view(outcome, lambda pdp: pdp == name))

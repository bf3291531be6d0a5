"""The REST API, ``/api/v1``: what the command line and other machines speak."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, jsonify, request

from ums import __version__
from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError
from ums.domain.fleet import Registration
from ums.domain.identity import Identity, Permission
from ums.domain.instants import parse_instant
from ums.domain.names import PDPName
from ums.domain.release import ReleaseName, diff_releases
from ums.domain.trust import KeySigner
from ums.domain.version import Version, VersionRange
from ums.services import Services
from ums.usecases.instruct import Subject, Why
from ums.usecases.record import Outcome
from ums.web.auth import identify
from ums.web.requests import InstructBody, PlaneBody, PromoteBody, RegisterBody, TokenBody, read_body
from ums.web.views import channel_view, log_view, outcome_view, plan_view, plane_view, release_view

_MAX_LOG = 500


def create_api(services: Services) -> Blueprint:
    """Return the routes."""
    api = Blueprint("api", __name__)
    _read_routes(api, services)
    _release_routes(api, services)
    _channel_routes(api, services)
    _plane_routes(api, services)
    _instruction_routes(api, services)
    return api


def _read_routes(api: Blueprint, services: Services) -> None:
    @api.get("/info")
    def info() -> Response:
        identify(services, request)
        settings = services.record.world().settings
        return jsonify(
            {
                "version": __version__,
                "url": settings.url,
                "registry": str(settings.registry),
                "plainHttp": settings.plain_http,
            }
        )

    @api.get("/trust")
    def trust() -> Response:
        identify(services, request)
        policy = services.record.world().trust
        signers = {
            name: {"key": each.public_key}
            if isinstance(each, KeySigner)
            else {"identity": each.identity, "issuer": each.issuer}
            for name, each in policy.signers.items()
        }
        rules = {
            name: {"signers": list(rule.signers), "threshold": rule.threshold} for name, rule in policy.rules.items()
        }
        return jsonify({"signers": signers, "bundles": rules, "stateKeys": list(policy.state_keys)})

    @api.get("/plan")
    def plan() -> Response:
        identify(services, request)
        return jsonify(plan_view(services.plan()))

    @api.get("/status")
    def status() -> Response:
        identify(services, request)
        world, now = services.record.world(), services.clock.now()
        counts: dict[str, int] = {}
        for plane in world.planes.values():
            health = plane.health(now).value
            counts[health] = counts.get(health, 0) + 1
        return jsonify(
            {
                "channels": [channel_view(each, world) for each in world.channels.values()],
                "health": counts,
                "dataPlanes": len(world.planes),
                "problems": [str(each) for each in world.problems],
            }
        )

    @api.get("/log")
    def log() -> Response:
        identify(services, request)
        limit = request.args.get("limit", "50")
        if not limit.isdecimal() or not 0 < int(limit) <= _MAX_LOG:
            raise InvalidInputError(f"limit is a number from 1 to {_MAX_LOG}")
        entries = services.log(limit=int(limit), path=request.args.get("path", ""))
        return jsonify({"items": [log_view(each) for each in entries]})

    @api.post("/tokens")
    def issue_token() -> tuple[Response, int]:
        by, body = identify(services, request, Permission.ADMIN), read_body(TokenBody)
        identity = Identity(body.subject, frozenset(body.groups), frozenset(body.bundles))
        token = services.issue_token(identity, expires=_instant(body.expires), by=by)
        return jsonify({"subject": body.subject, "token": token, "expires": body.expires}), 201


def _release_routes(api: Blueprint, services: Services) -> None:
    @api.get("/releases")
    def releases() -> Response:
        identify(services, request)
        world, wanted = services.record.world(), request.args.get("bundle")
        return jsonify(
            {
                "items": [
                    release_view(entry, world)
                    for bundle, versions in sorted(world.catalog.items())
                    for _, entry in sorted(versions.items(), reverse=True)
                    if wanted in {None, bundle}
                ]
            }
        )

    @api.post("/releases")
    def register() -> tuple[Response, int]:
        by, body = identify(services, request), read_body(RegisterBody)
        entry = services.register_release(ReleaseName.parse(body.release), Digest.parse(body.digest), by=by)
        return jsonify(release_view(entry, services.record.world(), full=True)), 201

    @api.get("/releases/<bundle>/<version>")
    def release(bundle: str, version: str) -> Response:
        identify(services, request)
        world = services.record.world()
        return jsonify(release_view(world.entry(bundle, Version(version)), world, full=True))

    @api.get("/releases/<bundle>/<version>/diff")
    def diff(bundle: str, version: str) -> Response:
        identify(services, request)
        world, start = services.record.world(), request.args.get("from")
        after = world.entry(bundle, Version(version)).release
        before = world.entry(bundle, Version(start)).release if start else None
        return jsonify(
            {
                "from": before.name if before else None,
                "to": after.name,
                "components": [change.to_dict() for change in diff_releases(before, after)],
            }
        )


def _channel_routes(api: Blueprint, services: Services) -> None:
    @api.get("/channels")
    def channels() -> Response:
        identify(services, request)
        world = services.record.world()
        return jsonify({"items": [channel_view(each, world) for each in world.channels.values()]})

    @api.post("/channels/<channel>/promotions")
    def promote(channel: str) -> Response:
        by, body = identify(services, request), read_body(PromoteBody)
        name = ReleaseName.parse(body.release)
        world = services.record.world()
        track = world.channel(channel).tracks.get(name.bundle)
        before = world.entry(name.bundle, track.head.release).release if track else None
        outcome = services.promote(name, to=channel, by=by, reason=body.reason, dry_run=body.dry_run)
        after = outcome.world.entry(name.bundle, name.version).release
        changes = [change.to_dict() for change in diff_releases(before, after)]
        return jsonify(
            {
                "channel": channel,
                "from": before.name if before else None,
                "to": after.name,
                "components": changes,
                **outcome_view(outcome),
            }
        )

    @api.post("/channels/<channel>/rollbacks")
    def roll_back_channel(channel: str) -> Response:
        by, body = identify(services, request), read_body(InstructBody)
        return _answer(
            services.instruct.roll_back_channel(
                channel, body.subject, _release(body), _why(by, body), dry_run=body.dry_run
            )
        )

    @api.post("/channels/<channel>/unholds")
    def unhold_channel(channel: str) -> Response:
        by, body = identify(services, request), read_body(InstructBody)
        return _answer(services.instruct.unhold_channel(channel, body.subject, _why(by, body), dry_run=body.dry_run))


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
            PDPName.parse(body.pdp), body.channel, tuple(body.bundles), body.labels, body.management
        )
        outcome = services.add_data_plane(registration, by=by, dry_run=body.dry_run)
        return jsonify(outcome_view(outcome)), 200 if body.dry_run else 201

    @api.get("/pdps/<org>/<pdp>")
    def plane(org: str, pdp: str) -> Response:
        identify(services, request)
        world, now = services.record.world(), services.clock.now()
        found = world.plane(PDPName(org, pdp))
        withheld = [each.to_dict() for each in services.plan().withheld if each.pdp == found.name]
        return jsonify({**plane_view(found, now), "withheld": withheld})

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
        by, body = identify(services, request), read_body(InstructBody)
        versions = VersionRange(body.versions) if body.versions else None
        return _answer(instruct.pin(PDPName(org, pdp), _subject(body), versions, _why(by, body), dry_run=body.dry_run))

    @api.post("/pdps/<org>/<pdp>/unpins")
    def unpin(org: str, pdp: str) -> Response:
        by, body = identify(services, request), read_body(InstructBody)
        return _answer(instruct.unpin(PDPName(org, pdp), _subject(body), _why(by, body), dry_run=body.dry_run))

    @api.post("/pdps/<org>/<pdp>/holds")
    def hold(org: str, pdp: str) -> Response:
        by, body = identify(services, request), read_body(InstructBody)
        release = Version(body.release) if body.release else None
        return _answer(instruct.hold(PDPName(org, pdp), _subject(body), release, _why(by, body), dry_run=body.dry_run))

    @api.post("/pdps/<org>/<pdp>/unholds")
    def unhold(org: str, pdp: str) -> Response:
        by, body = identify(services, request), read_body(InstructBody)
        return _answer(instruct.unhold(PDPName(org, pdp), _subject(body), _why(by, body), dry_run=body.dry_run))

    @api.post("/pdps/<org>/<pdp>/rollbacks")
    def roll_back(org: str, pdp: str) -> Response:
        by, body = identify(services, request), read_body(InstructBody)
        return _answer(
            instruct.roll_back(PDPName(org, pdp), _subject(body), _release(body), _why(by, body), dry_run=body.dry_run)
        )


def _answer(outcome: Outcome) -> Response:
    return jsonify(outcome_view(outcome))


def _subject(body: InstructBody) -> Subject:
    return Subject.parse(body.subject)


def _why(by: Identity, body: InstructBody) -> Why:
    return Why(by, body.reason, _instant(body.until))


def _release(body: InstructBody) -> Version:
    if body.release is None:
        raise InvalidInputError("release: which release to go back to is missing")
    return Version(body.release)


def _instant(text: str | None) -> datetime | None:
    return parse_instant(text) if text else None

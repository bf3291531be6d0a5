"""Routes of channels: their policies, what is promoted to them, and how that is rolled out."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request

from ums.domain.channels import Channel
from ums.domain.errors import InvalidInputError, SpecError
from ums.domain.fleet import Given
from ums.domain.gates import Gate, ask_gates
from ums.domain.release import ReleaseName
from ums.domain.world import World
from ums.services import Services
from ums.usecases.record import Outcome
from ums.usecases.steer_rollout import STEPS
from ums.web.auth import identify
from ums.web.promotions import promotion_view
from ums.web.requests import (
    ApprovalBody,
    CancelBody,
    InstructBody,
    PolicyBody,
    PromoteBody,
    ReasonBody,
    read_body,
    why_of,
)
from ums.web.rollouts import channel_plan, rollout_view
from ums.web.views import channel_view, followers, outcome_view, policy_view


def add_channel_routes(api: Blueprint, services: Services) -> None:
    """Add the routes."""
    _channel_routes(api, services)
    _policy_routes(api, services)
    _promotion_routes(api, services)
    _rollout_routes(api, services)
    _instruction_routes(api, services)


def _channel_routes(api: Blueprint, services: Services) -> None:
    @api.get("/channels")
    def channels() -> Response:
        identify(services, request)
        world = services.record.world()
        return jsonify({"items": [channel_view(each, world) for each in world.channels.values()]})

    @api.get("/channels/<channel>")
    def channel(channel: str) -> Response:
        identify(services, request)
        world, now = services.record.world(), services.clock.now()
        found = world.channel(channel)
        pending = [each for each, asked in sorted(found.requests.items()) if asked.executed is None]
        return jsonify(
            {
                **channel_view(found, world),
                "policy": policy_view(found.policy, now),
                "policyText": found.policy.source.decode(),
                "problems": list(services.set_policy.lint(channel)),
                "requests": [_request_view(world, found, each, services) for each in pending],
            }
        )


def _request_view(world: World, channel: Channel, request_id: str, services: Services) -> dict[str, Any]:
    found = channel.requests[request_id]
    name, now = ReleaseName(found.bundle, found.release), services.clock.now()
    known = found.release in world.catalog.get(found.bundle, {})
    gates = ask_gates(world, channel, name, now, expedite=found.expedite) if known else ()
    return {**found.to_dict(), "release": str(name), "waitsFor": [gate.to_dict() for gate in gates if not gate.is_open]}


def _policy_routes(api: Blueprint, services: Services) -> None:
    @api.post("/channels/<channel>/policy")
    def set_policy(channel: str) -> Response:
        by, body = identify(services, request), read_body(PolicyBody)
        content = body.policy.encode()
        return _answer(channel, services.set_policy(channel, content, why_of(by, body), dry_run=body.dry_run))

    @api.post("/channels/<channel>/policy/lint")
    def lint(channel: str) -> Response:
        identify(services, request)
        body = read_body(PolicyBody)
        try:
            problems = services.set_policy.lint(channel, body.policy.encode())
        except SpecError as error:
            problems = (error.message,)
        return jsonify({"channel": channel, "problems": list(problems)})


def _promotion_routes(api: Blueprint, services: Services) -> None:
    @api.post("/channels/<channel>/promotions")
    def promote(channel: str) -> Response:
        by, body = identify(services, request), read_body(PromoteBody)
        name = ReleaseName.parse(body.release)
        outcome = services.promote(
            name,
            to=channel,
            by=by,
            reason=body.reason,
            expedite=body.expedite,
            when_ready=body.when_ready,
            dry_run=body.dry_run,
        )
        given = Given(by.subject, body.reason, services.clock.now())
        return jsonify(promotion_view(outcome, channel, name, given))

    @api.post("/channels/<channel>/cancellations")
    def cancel(channel: str) -> Response:
        by, body = identify(services, request), read_body(CancelBody)
        name = ReleaseName.parse(body.release)
        outcome = services.cancel_promotion(name, to=channel, why=why_of(by, body), dry_run=body.dry_run)
        return _answer(channel, outcome)

    @api.get("/channels/<channel>/gates")
    def gates(channel: str) -> Response:
        identify(services, request)
        name = ReleaseName.parse(request.args.get("release", ""))
        world, expedite = services.record.world(), request.args.get("expedite") == "true"
        found, verified = world.channel(channel), services.promote.check_signatures(name)
        asked = ask_gates(world, found, name, services.clock.now(), expedite=expedite, verified=verified)
        return jsonify(_gates_view(channel, name, asked))

    @api.post("/channels/<channel>/approvals")
    def approve(channel: str) -> Response:
        by, body = identify(services, request), read_body(ApprovalBody)
        name = ReleaseName.parse(body.release)
        outcome = services.approve(
            name, to=channel, by=by, reason=body.reason, rejects=body.rejects, dry_run=body.dry_run
        )
        asked = ask_gates(outcome.world, outcome.world.channel(channel), name, services.clock.now())
        return jsonify({**_gates_view(channel, name, asked), **outcome_view(outcome)})


def _gates_view(channel: str, name: ReleaseName, gates: tuple[Gate, ...]) -> dict[str, Any]:
    return {
        "channel": channel,
        "release": str(name),
        "open": all(gate.is_open for gate in gates),
        "gates": [gate.to_dict() for gate in gates],
    }


def _rollout_routes(api: Blueprint, services: Services) -> None:
    @api.get("/channels/<channel>/rollouts")
    def rollouts(channel: str) -> Response:
        identify(services, request)
        world, now, wanted = services.record.world(), services.clock.now(), request.args.get("bundle")
        found = world.channel(channel)
        plan = channel_plan(world, channel, now)
        items = [
            rollout_view(world, found, each, plan, now) for each in sorted(found.rollouts) if wanted in {None, each}
        ]
        return jsonify({"items": items})

    @api.post("/channels/<channel>/rollouts/<bundle>/<step>")
    def steer(channel: str, bundle: str, step: str) -> Response:
        by, body = identify(services, request), read_body(ReasonBody)
        if step not in STEPS:
            raise InvalidInputError(f"a rollout has no step {step:.40}", hint=f"its steps: {', '.join(STEPS)}")
        outcome = services.steer_rollout(step, channel, bundle, why_of(by, body), dry_run=body.dry_run)
        now, there = services.clock.now(), outcome.world.channel(channel)
        plan = channel_plan(outcome.world, channel, now)
        shown = rollout_view(outcome.world, there, bundle, plan, now)
        return jsonify({"rollout": shown, **outcome_view(outcome, followers(outcome.world, channel))})


def _instruction_routes(api: Blueprint, services: Services) -> None:
    @api.post("/channels/<channel>/rollbacks")
    def roll_back_channel(channel: str) -> Response:
        by, body = identify(services, request), read_body(InstructBody)
        release = body.release_to_go_back_to()
        outcome = services.instruct.roll_back_channel(
            channel, body.subject, release, why_of(by, body), dry_run=body.dry_run
        )
        return _answer(channel, outcome)

    @api.post("/channels/<channel>/unholds")
    def unhold_channel(channel: str) -> Response:
        by, body = identify(services, request), read_body(InstructBody)
        outcome = services.instruct.unhold_channel(channel, body.subject, why_of(by, body), dry_run=body.dry_run)
        return _answer(channel, outcome)


def _answer(channel: str, outcome: Outcome) -> Response:
    return jsonify(outcome_view(outcome, followers(outcome.world, channel)))

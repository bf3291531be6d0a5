"""Routes of channels: their policies, what is promoted to them, and how that is rolled out."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify

from ums.domain.channels import Channel
from ums.domain.errors import InvalidInputError, SpecError
from ums.domain.fleet import Given
from ums.domain.gates import Gate
from ums.domain.release import ReleaseName
from ums.services import Services
from ums.usecases.record import Outcome
from ums.usecases.see import Sight
from ums.usecases.steer_rollout import STEPS
from ums.web import answers
from ums.web.openapi import Area, asker, changes, reads, sight
from ums.web.promotions import promotion_view
from ums.web.requests import (
    ApprovalBody,
    BundleQuery,
    CancelBody,
    ChannelPath,
    GatesQuery,
    InstructBody,
    OverrideBody,
    PolicyBody,
    PromoteBody,
    ReasonBody,
    RolloutPath,
    why_of,
)
from ums.web.rollouts import channel_plan, rollout_view
from ums.web.views import channel_view, followers, outcome_view, policy_view


def add_channel_routes(api: Area, services: Services) -> None:
    """Add the routes."""
    _channel_routes(api, services)
    _policy_routes(api, services)
    _promotion_routes(api, services)
    _rollout_routes(api, services)
    _instruction_routes(api, services)


def _channel_routes(api: Area, services: Services) -> None:
    @api.get("/channels", responses=reads(answers.Channels))
    def channels() -> Response:
        """List channels."""
        world = sight(services).world
        return jsonify({"items": [channel_view(each, world) for each in world.channels.values()]})

    @api.get("/channels/<channel>", responses=reads(answers.ChannelInFull))
    def channel(path: ChannelPath) -> Response:
        """Show a channel with its policy and what waits for its gates."""
        seen = sight(services)
        found = seen.world.channel(path.channel)
        pending = [each for each, asked in sorted(found.requests.items()) if asked.executed is None]
        return jsonify(
            {
                **channel_view(found, seen.world),
                "policy": policy_view(found.policy, seen.now),
                "policyText": found.policy.source.decode(),
                "problems": list(services.set_policy.lint(path.channel)),
                "requests": [_request_view(seen, found, each) for each in pending],
            }
        )


def _request_view(seen: Sight, channel: Channel, request_id: str) -> dict[str, Any]:
    found = channel.requests[request_id]
    name = ReleaseName(found.bundle, found.release)
    known = found.release in seen.world.catalog.get(found.bundle, {})
    gates = seen.gates(channel.name, name, expedite=found.expedite) if known else ()
    return {**found.to_dict(), "release": str(name), "waitsFor": [gate.to_dict() for gate in gates if not gate.is_open]}


def _policy_routes(api: Area, services: Services) -> None:
    @api.post("/channels/<channel>/policy", responses=changes(answers.Recorded))
    def set_policy(path: ChannelPath, body: PolicyBody) -> Response:
        """Put a policy in force."""
        by = asker()
        content = body.policy.encode()
        return _answer(path.channel, services.set_policy(path.channel, content, why_of(by, body), dry_run=body.dry_run))

    @api.post("/channels/<channel>/policy/lint", responses=changes(answers.Linted))
    def lint_policy(path: ChannelPath, body: PolicyBody) -> Response:
        """Check a policy that could be put in force, as whoever may set it."""
        by = asker()
        try:
            problems = services.set_policy.try_out(path.channel, body.policy.encode(), by)
        except SpecError as error:
            problems = (error.message,)
        return jsonify({"channel": path.channel, "problems": list(problems)})


def _promotion_routes(api: Area, services: Services) -> None:
    @api.post("/channels/<channel>/promotions", responses=changes(answers.Promotion))
    def promote(path: ChannelPath, body: PromoteBody) -> Response:
        """Promote a release to a channel, now or once all gates are open."""
        by = asker()
        name = ReleaseName.parse(body.release)
        outcome = services.promote(
            name,
            to=path.channel,
            by=by,
            reason=body.reason,
            expedite=body.expedite,
            when_ready=body.when_ready,
            dry_run=body.dry_run,
        )
        given = Given(by.subject, body.reason, services.clock.now())
        return jsonify(promotion_view(outcome, path.channel, name, given))

    @api.post("/channels/<channel>/cancellations", responses=changes(answers.Recorded))
    def cancel_promotion(path: ChannelPath, body: CancelBody) -> Response:
        """Take a wish for a promotion back."""
        by = asker()
        name = ReleaseName.parse(body.release)
        outcome = services.cancel_promotion(name, to=path.channel, why=why_of(by, body), dry_run=body.dry_run)
        return _answer(path.channel, outcome)

    @api.get("/channels/<channel>/gates", responses=reads(answers.Gates))
    def gates(path: ChannelPath, query: GatesQuery) -> Response:
        """Ask every gate between a release and a channel."""
        name = ReleaseName.parse(query.release)
        verified = services.promote.check_signatures(name)
        asked = sight(services).gates(path.channel, name, expedite=query.expedite, verified=verified)
        return jsonify(_gates_view(path.channel, name, asked))

    @api.post("/channels/<channel>/approvals", responses=changes(answers.Approved))
    def approve(path: ChannelPath, body: ApprovalBody) -> Response:
        """Say yes, or no, to a promotion."""
        by = asker()
        name = ReleaseName.parse(body.release)
        outcome = services.approve(
            name, to=path.channel, by=by, reason=body.reason, rejects=body.rejects, dry_run=body.dry_run
        )
        return jsonify({**_gates_view(path.channel, name, outcome.gates), **outcome_view(outcome)})

    @api.post("/channels/<channel>/overrides", responses=changes(answers.Overridden))
    def override_gate(path: ChannelPath, body: OverrideBody) -> Response:
        """Override what a gate finds against a promotion."""
        by = asker()
        name = ReleaseName.parse(body.release)
        outcome = services.override_gate(
            body.gate, name, to=path.channel, why=why_of(by, body), cancels=body.cancels, dry_run=body.dry_run
        )
        return jsonify({**_gates_view(path.channel, name, outcome.gates), **outcome_view(outcome)})


def _gates_view(channel: str, name: ReleaseName, gates: tuple[Gate, ...]) -> dict[str, Any]:
    return {
        "channel": channel,
        "release": str(name),
        "open": all(gate.is_open for gate in gates),
        "gates": [gate.to_dict() for gate in gates],
    }


def _rollout_routes(api: Area, services: Services) -> None:
    @api.get("/channels/<channel>/rollouts", responses=reads(answers.Rollouts))
    def rollouts(path: ChannelPath, query: BundleQuery) -> Response:
        """List the rollouts of a channel."""
        seen = sight(services)
        found, plan = seen.world.channel(path.channel), seen.plan(path.channel)
        items = [
            rollout_view(seen.world, found, each, plan, seen.now)
            for each in sorted(found.rollouts)
            if query.bundle in {None, each}
        ]
        return jsonify({"items": items})

    @api.post("/channels/<channel>/rollouts/<bundle>/<step>", responses=changes(answers.Steered))
    def steer_rollout(path: RolloutPath, body: ReasonBody) -> Response:
        """Pause, resume, cancel or retry a rollout, or go on to its next wave."""
        by = asker()
        if path.step not in STEPS:
            raise InvalidInputError(f"a rollout has no step {path.step:.40}", hint=f"its steps: {', '.join(STEPS)}")
        outcome = services.steer_rollout(path.step, path.channel, path.bundle, why_of(by, body), dry_run=body.dry_run)
        now, there = services.clock.now(), outcome.world.channel(path.channel)
        plan = channel_plan(outcome.world, path.channel, now)
        shown = rollout_view(outcome.world, there, path.bundle, plan, now)
        return jsonify({"rollout": shown, **outcome_view(outcome, followers(outcome.world, path.channel))})


def _instruction_routes(api: Area, services: Services) -> None:
    @api.post("/channels/<channel>/rollbacks", responses=changes(answers.Recorded))
    def roll_back_channel(path: ChannelPath, body: InstructBody) -> Response:
        """Take a channel back to an earlier release, and hold it there."""
        by = asker()
        release = body.release_to_go_back_to()
        outcome = services.instruct.roll_back_channel(
            path.channel, body.subject, release, why_of(by, body), dry_run=body.dry_run
        )
        return _answer(path.channel, outcome)

    @api.post("/channels/<channel>/unholds", responses=changes(answers.Recorded))
    def unhold_channel(path: ChannelPath, body: InstructBody) -> Response:
        """End a hold of a channel."""
        by = asker()
        outcome = services.instruct.unhold_channel(path.channel, body.subject, why_of(by, body), dry_run=body.dry_run)
        return _answer(path.channel, outcome)


def _answer(channel: str, outcome: Outcome) -> Response:
    return jsonify(outcome_view(outcome, followers(outcome.world, channel)))

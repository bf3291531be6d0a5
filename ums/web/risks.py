"""Routes of declared risks."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from ums.domain.fleet import Given
from ums.domain.risks import Risk
from ums.domain.version import VersionRange
from ums.services import Services
from ums.web.auth import identify
from ums.web.requests import ReasonBody, RiskBody, instant, read_body, why_of
from ums.web.views import outcome_view


def add_risk_routes(api: Blueprint, services: Services) -> None:
    """Add the routes."""

    @api.get("/risks")
    def risks() -> Response:
        identify(services, request)
        world = services.record.world()
        accepted = [each.risk for plane in world.planes.values() for each in plane.accepted]
        return jsonify(
            {
                "items": [
                    {**risk.to_dict(), "acceptedBy": accepted.count(name)} for name, risk in sorted(world.risks.items())
                ]
            }
        )

    @api.post("/risks")
    def declare() -> Response:
        by, body = identify(services, request), read_body(RiskBody)
        risk = Risk(
            name=body.name,
            bundle=body.bundle,
            releases=VersionRange(body.releases),
            message=body.message,
            given=Given(by.subject, body.reason, services.clock.now(), instant(body.until)),
            url=body.url,
            from_releases=_range(body.from_releases),
            labels=body.labels,
            kubernetes=_range(body.kubernetes),
            flux=_range(body.flux),
            components={name: VersionRange(text) for name, text in body.components.items()},
        )
        outcome = services.declare_risk.declare(risk, why_of(by, body), dry_run=body.dry_run)
        return jsonify({"name": risk.name, **outcome_view(outcome)})

    @api.post("/risks/<name>/retract")
    def retract(name: str) -> Response:
        by, body = identify(services, request), read_body(ReasonBody)
        outcome = services.declare_risk.retract(name, why_of(by, body), dry_run=body.dry_run)
        return jsonify({"name": name, **outcome_view(outcome)})


def _range(text: str | None) -> VersionRange | None:
    return VersionRange(text) if text else None

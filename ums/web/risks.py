"""Routes of declared risks."""

from __future__ import annotations

from flask import Response, jsonify

from ums.domain.fleet import Given
from ums.domain.risks import Risk
from ums.domain.version import VersionRange
from ums.services import Services
from ums.web import answers
from ums.web.openapi import Area, asker, changes, reads, sight
from ums.web.requests import NamePath, ReasonBody, RiskBody, instant, why_of
from ums.web.views import outcome_view


def add_risk_routes(api: Area, services: Services) -> None:
    """Add the routes."""

    @api.get("/risks", responses=reads(answers.Risks))
    def risks() -> Response:
        """List declared risks."""
        world = sight(services).world
        accepted = [each.risk for plane in world.planes.values() for each in plane.accepted]
        return jsonify(
            {
                "items": [
                    {**risk.to_dict(), "acceptedBy": accepted.count(name)} for name, risk in sorted(world.risks.items())
                ]
            }
        )

    @api.post("/risks", responses=changes(answers.Named))
    def declare_risk(body: RiskBody) -> Response:
        """Declare a risk."""
        by = asker()
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

    @api.post("/risks/<name>/retract", responses=changes(answers.Named))
    def retract_risk(path: NamePath, body: ReasonBody) -> Response:
        """Take a risk back."""
        by = asker()
        outcome = services.declare_risk.retract(path.name, why_of(by, body), dry_run=body.dry_run)
        return jsonify({"name": path.name, **outcome_view(outcome)})


def _range(text: str | None) -> VersionRange | None:
    return VersionRange(text) if text else None

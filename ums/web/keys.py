"""Routes of keys: which there are, who knows them, and what a release of bundle ``trust`` would bring."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flask import Response, jsonify

from ums.domain.release import ReleaseName
from ums.domain.trust import TRUST
from ums.domain.trusting import (
    key_changes,
    newest_trust,
    number_of,
    render_trust,
    stranded_by,
    surest_trust,
    trust_version,
    unaware_of_release_key,
    unaware_of_state_key,
)
from ums.domain.world import World
from ums.services import Services
from ums.usecases.rotate_keys import KeyChange
from ums.web import answers
from ums.web.openapi import Area, asker, changes, reads, sight
from ums.web.requests import KeysQuery, LookAgainBody, ReleasePath, RotateKeysBody, why_of
from ums.web.views import release_view

_SHOWN = 20


def add_key_routes(api: Area, services: Services) -> None:
    """Add the routes."""

    @api.get("/keys", responses=reads(answers.Keys))
    def keys(query: KeysQuery) -> Response:
        """Show release keys and state keys, which data planes know them, and what is to be published next."""
        return jsonify(_view(sight(services).world, services, number=query.number))

    @api.post("/keys", responses=changes(answers.KeysRotated))
    def rotate_keys(body: RotateKeysBody) -> Response:
        """Add keys to trust.yaml, and drop others."""
        by = asker()
        change = KeyChange(body.add, body.like or "", body.drop, body.add_state_keys, body.drop_state_keys)
        outcome = services.rotate_keys(change, why_of(by, body), dry_run=body.dry_run)
        words = key_changes(outcome.before.trust.trusted, outcome.world.trust.trusted)
        commit = outcome.base.main if outcome.recorded else None
        told = len(outcome.world.planes)
        return jsonify({"recorded": outcome.recorded, "commit": commit, "changes": list(words), "dataPlanes": told})

    @api.post("/releases/<bundle>/<version>/signatures", responses=changes(answers.ReleaseInFull))
    def look_again(path: ReleasePath, body: LookAgainBody) -> Response:  # noqa: ARG001 - it must be empty
        """Take down who else signed a release since it was registered."""
        name = ReleaseName(path.bundle, path.name.version)
        entry = services.register_release.look_again(name, by=asker())
        return jsonify(release_view(entry, sight(services).world, full=True))


def _view(world: World, services: Services, *, number: int) -> dict[str, Any]:
    trusted, newest = world.trust.trusted, newest_trust(world)
    known = world.trusted_by(newest)
    release_keys = {**known.release_keys, **trusted.release_keys}
    state_keys = dict.fromkeys((*trusted.state_keys, *known.state_keys))
    words = list(key_changes(known, trusted))
    if services.check_trust.replaces_guard(world):
        words.append("replaces the guard")
    number = max(number, number_of(newest) + 1)
    following = trust_version(number)
    surest = Counter(surest_trust(world, plane) for plane in world.planes.values() if plane.desired)
    releases = [
        {
            "release": str(ReleaseName(TRUST, version)) if version else None,
            "releaseKeys": sorted(world.trusted_by(version).release_keys),
            "stateKeys": list(world.trusted_by(version).state_keys),
            "dataPlanes": surest[version],
        }
        for version in (None, *sorted(world.catalog.get(TRUST, {})))
    ]
    return {
        "releaseKeys": [
            {
                "name": name,
                "key": key,
                "signs": name in trusted.release_keys,
                **_unaware(unaware_of_release_key(world, name)),
            }
            for name, key in release_keys.items()
        ],
        "stateKeys": [
            {
                "key": key,
                "signs": key == services.check_trust.keys.state_key,
                **_unaware(unaware_of_state_key(world, key)),
            }
            for key in state_keys
        ],
        "releases": releases,
        "next": {
            "release": str(ReleaseName(TRUST, following)),
            "changes": words,
            "objects": render_trust(trusted, world.settings, number),
            "stranded": [reason.to_dict() for reason in stranded_by(world, trusted)],
        },
    }


def _unaware(names: list[Any]) -> dict[str, Any]:
    return {"unknownTo": len(names), "unknownToSome": [str(name) for name in sorted(names, key=str)[:_SHOWN]]}

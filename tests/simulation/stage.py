"""A service on doubles, with releases of every kind published, that can be copied for each run."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import yaml

from tests.policies import accepted
from tests.unit.usecases.stage import ADMIN, Stage
from ums.domain.fleet import Registration
from ums.domain.names import PDPName
from ums.domain.version import Version
from ums.domain.world import Base, Decision, Raw

COMPONENTS = ("cilium", "gateway", "legacy")
_FIXED: dict[str, object] = {"fixes": ["CVE-2026-0001"]}
RELEASES: dict[str, dict[str, object]] = {
    "1.0.0": {},
    "1.1.0": {},
    "1.2.0": {"upgrade": {"barrier": "migrates the database"}},
    "1.3.0": {"class": "security", **_FIXED},
    "1.3.1": {},
    "1.4.0": {"class": "feature", "removes": ["legacy"], **_FIXED},
    "1.5.0": {"class": "feature", "upgrade": {"irreversible": True}, **_FIXED},
    "1.6.0": {"class": "feature", "upgrade": {"from": ">=1.4.0"}, **_FIXED},
    "1.7.0": {"class": "security", **_FIXED},
}
_TAKEN_BACK = {"1.3.1": {"cilium": "1.2.0"}}
"""Older components, whose fixes are lost."""
TAKES_BACK = Version("1.3.1")
VERSIONS = tuple(Version(text) for text in RELEASES)
_ROLLOUT = {
    "waves": [
        {"name": "canary", "share": "1", "soak": "10m"},
        {"name": "half", "share": "50%", "over": "1h", "soak": "10m"},
        {"name": "everyone"},
    ],
    "maxUpdating": "34%",
    "healthyFor": "5m",
    "timeout": "30m",
    "offlineGrace": "2h",
}
POLICIES = {
    "edge": {"rollout": {**_ROLLOUT, "maxFailed": "1"}},
    "stable": {
        "feeder": "edge",
        "gates": {"soak": "30m", "adoption": {"healthy": "1", "maxFailed": "50%"}},
        "rollout": {**_ROLLOUT, "onHalt": "rollback"},
        "windows": {"deny": [{"cron": "0 3 * * *", "duration": "2h"}]},
        "expedite": {"approvals": {"required": 1, "groups": ["security"]}},
        "deadlines": {"security": "12h"},
    },
}
PLANES = tuple(PDPName(org, f"pdp-{number}") for org in ("acme", "globex", "initech") for number in (1, 2, 3))


def make_stage(folder: Path) -> Stage:
    """Return a stage with all releases in its catalog and the first promoted."""
    stage = Stage(folder)
    for version, fields in RELEASES.items():
        components = {name: version for name in COMPONENTS if name != "legacy" or version < "1.4.0"}
        components |= _TAKEN_BACK.get(version, {})
        stage.publish(version, components, **fields)  # type: ignore[arg-type]
    for number, name in enumerate(PLANES):
        channel = "edge" if number % 3 == 0 else "stable"
        stage.services.add_data_plane(Registration(name, channel, ("platform",), {"org": name.org}), by=ADMIN)
    stage.promote("1.0.0")
    texts = {name: Raw(yaml.safe_dump(policy).encode()) for name, policy in POLICIES.items()}
    main = accepted({f"channels/{name}/policy.yaml": text for name, text in texts.items()})
    base: Base = stage.repo.read().base
    stage.repo.commit(Decision("policies", "seed", "test", "seed", stage.clock.now(), {**main}), base=base)
    return stage


@cache
def published() -> Stage:
    """Return the stage that every run starts from: publishing is slow, copying its repository is not."""
    with tempfile.TemporaryDirectory() as folder:
        return make_stage(Path(folder))

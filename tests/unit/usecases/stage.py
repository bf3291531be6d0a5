"""Everything the use cases need, on doubles that behave like small real systems."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from tests.doubles.memory_registry import MemoryRegistry
from tests.doubles.memory_release_repo import MemoryReleaseRepo
from tests.doubles.memory_views import MemoryViews
from tests.policies import accepted
from tests.state_keys import FIRST
from ums.adapters._release_files import parse_policy
from ums.adapters.bundle_folder import BundleFolder
from ums.adapters.cosign_bundle import CosignBundleSigner, CosignBundleVerifier, check_release_key
from ums.adapters.derived_credentials import DerivedCredentials
from ums.adapters.local_disk import LocalDisk
from ums.adapters.prometheus_meter import PrometheusMeter
from ums.adapters.sql_security_log import SqlSecurityLog
from ums.adapters.sql_sessions import SqlSessions
from ums.adapters.sql_store import SqlStore
from ums.adapters.sql_webhooks import SqlWebhooks
from ums.adapters.ssh_signature import check_state_key
from ums.adapters.trust_folder import trust_content
from ums.domain import layout
from ums.domain.digest import Digest
from ums.domain.errors import UnavailableError
from ums.domain.fleet import Health, Registration, Report
from ums.domain.identity import Holder, Identity
from ums.domain.names import PDPName
from ums.domain.oci import Repository
from ums.domain.release import ReleaseName
from ums.domain.trust import KeySigner, Trusted
from ums.domain.version import Version
from ums.domain.world import Base, Content, Decision, Document, Raw, World
from ums.ports import IdentityProvider, ReleaseRepo
from ums.services import Services
from ums.usecases.build import Build, PatchOf, Replacement, Stated
from ums.usecases.check_trust import Keys
from ums.usecases.instruct import Why
from ums.usecases.publish import Publish, Published, ReadBase
from ums.usecases.register_release import RegisterRelease
from ums.usecases.security_events import SecurityEvents
from ums.usecases.verify import Verify
from ums.web.observing import origin

PREFIX = Repository("registry.example.com", "ums")
PROD = PDPName("acme", "prod")
MASTER = b"m" * 32
ADA = Holder("ada", frozenset({"admin"}))
KEYS = Keys(FIRST, trust_content, check_release_key, check_state_key)
ADMIN = ADA.identity
AT_ONCE = {"waves": [{"name": "everyone"}], "maxUpdating": "100%", "healthyFor": "0s"}
"""A rollout to all data planes at once."""


class SettableClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 23, 12, tzinfo=UTC)

    def now(self) -> datetime:
        """Return its time."""
        return self.time

    def advance(self, span: timedelta) -> None:
        """Move it on."""
        self.time += span


@dataclass
class Registrar:
    """Tells the service, without HTTP."""

    register_release: RegisterRelease
    by: Identity = ADMIN
    told: list[ReleaseName] = field(default_factory=list)

    def register(self, name: ReleaseName, digest: Digest, *, override_floors: str = "") -> None:
        """Register a release."""
        self.register_release(name, digest, by=self.by, override_floors=override_floors)
        self.told.append(name)


@dataclass
class Outbox:
    """Keeps what is posted; ``broken`` says why it is not."""

    posted: list[tuple[str, bytes, Mapping[str, str]]] = field(default_factory=list)
    broken: str = ""

    def send(self, url: str, body: bytes, headers: Mapping[str, str], *, private: bool) -> int:
        """Post."""
        if self.broken:
            raise UnavailableError(self.broken)
        assert private in {True, False}
        self.posted.append((url, body, headers))
        return 200


class Stage:
    """A service and a publisher; ``folder`` is for bundles and keys."""

    def __init__(
        self,
        folder: Path,
        *,
        threshold: int = 1,
        signers: tuple[str, ...] = ("release",),
        database: str = "sqlite://",
        release_repo: ReleaseRepo | None = None,
        provider: IdentityProvider | None = None,
        url: str = "http://127.0.0.1",
    ) -> None:
        self.folder = folder
        self.url = url
        self.registry = MemoryRegistry()
        self.repo = MemoryReleaseRepo()
        self.release_repo: ReleaseRepo = release_repo or self.repo
        self.clock = SettableClock()
        self.store = SqlStore(database, master=MASTER)
        self.sender = Outbox()
        self.meter = PrometheusMeter("test")
        self.keys = {name: self.make_key(name) for name in signers}
        self.seed(self.keys, threshold)
        self.verify = Verify(self.registry, CosignBundleVerifier())
        self.services = Services.wire(
            release_repo=self.release_repo,
            views=MemoryViews(self.release_repo),
            store=self.store,
            clock=self.clock,
            verify=self.verify,
            keys=KEYS,
            credentials=DerivedCredentials(MASTER),
            parse_policy=parse_policy,
            webhooks=SqlWebhooks(self.store.database),
            sender=self.sender,
            meter=self.meter,
            security=SecurityEvents(SqlSecurityLog(self.store.database), self.clock, origin),
            sessions=SqlSessions(self.store.database),
            provider=provider,
            disk=LocalDisk(folder),
        )
        self.registrar = Registrar(self.services.register_release)
        self.build = Build(BundleFolder(registry=self.registry, helm=None), self.clock)
        self.read_base = ReadBase(self.registry, self.verify)

    def make_key(self, name: str) -> CosignBundleSigner:
        """Return a new release key."""
        return CosignBundleSigner(generate_private_key(SECP256R1()), name)

    def seed(self, keys: dict[str, CosignBundleSigner], threshold: int) -> None:
        """Write settings, trust and two channels, or trust alone anew."""
        signers = {}
        for name, key in keys.items():
            signatory = key.signatory()
            assert isinstance(signatory, KeySigner)
            signers[name] = {"key": signatory.public_key}
        trust = {
            "signers": signers,
            "bundles": {"*": {"signers": list(keys), "threshold": threshold}},
            "stateKeys": [FIRST],
        }
        files = {
            "ums.yaml": {"url": self.url, "registry": str(PREFIX)},
            "trust.yaml": trust,
            "channels/edge/policy.yaml": {"description": "first", "rollout": AT_ONCE},
            "channels/stable/policy.yaml": {"feeder": "edge", "rollout": AT_ONCE},
        }
        written = {path: Raw(yaml.safe_dump(data).encode()) for path, data in files.items()}
        main: dict[str, Content | None] = {**accepted(written)}
        try:
            base = self.release_repo.read().base
        except Exception:  # noqa: BLE001 - the first time there is nothing
            base = Base()
            known = Trusted({name: each["key"] for name, each in signers.items()}, (FIRST,))
            main[layout.TRUST_AT_BOOTSTRAP] = Document(known.to_dict())
        self.release_repo.commit(Decision("seed", "seed", "test", "seed", self.clock.now(), main), base=base)

    def write_bundle(self, versions: dict[str, str], charts: Collection[str] = (), **fields: object) -> Path:
        """Write a bundle of components by version: of manifests, but for those that are to be charts."""
        bundle = self.folder / "bundle"
        components = []
        for name, version in versions.items():
            folder = bundle / name
            folder.mkdir(parents=True, exist_ok=True)
            config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"v": version}}
            (folder / "config.yaml").write_text(yaml.safe_dump(config))
            if name in charts:
                (folder / "Chart.yaml").write_text(f"apiVersion: v2\nname: {name}\nversion: {version}\n")
                image = f"registry.example.com/{name}:{version}@{Digest.of(name.encode())}"
                components.append({"name": name, "chart": name, "namespace": name, "images": [image]})
            else:
                components.append({"name": name, "manifests": name, "version": version, "namespace": name})
        spec = {"name": "platform", "components": components, **fields}
        (bundle / "bundle.yaml").write_text(yaml.safe_dump(spec))
        return bundle

    def publish(
        self,
        version: str,
        versions: dict[str, str] | None = None,
        *,
        signer: str = "release",
        patch: PatchOf | None = None,
        stated: Stated | None = None,
        override_floors: str = "",
        charts: Collection[str] = (),
        **fields: object,
    ) -> Published:
        """Build and publish a release."""
        bundle = self.write_bundle(versions or {"cilium": version, "gateway": version}, charts, **fields)
        built = self.build(bundle, Version(version), patch=patch, stated=stated, override_floors=bool(override_floors))
        key = self.keys.get(signer) or self.make_key(signer)
        publish = Publish(self.registry, key, self.verify, self.registrar)
        return publish(built, PREFIX, override_floors=override_floors)

    def patch_of(self, version: str, *replaced: str) -> PatchOf:
        """Return what is published from a release; without components, all of it is built anew."""
        name = ReleaseName("platform", Version(version))
        base, notes = self.read_base(PREFIX, name, self.keys["release"].signatory())
        return PatchOf(base, tuple(map(Replacement, replaced)), notes)

    def promote(self, version: str, *channels: str) -> None:
        """Promote a release."""
        for channel in channels or ("edge", "stable"):
            self.services.promote(ReleaseName("platform", Version(version)), to=channel, by=ADMIN)
        self.services.reconcile()

    def set_policy(self, channel: str, **fields: object) -> None:
        """Put a policy in force."""
        self.services.set_policy(channel, yaml.safe_dump(fields).encode(), Why(ADMIN, "a test"))

    def add_plane(self, name: PDPName = PROD, channel: str = "stable", **fields: Any) -> None:  # noqa: ANN401
        """Register a data plane, which follows ``stable`` unless told otherwise."""
        self.services.add_data_plane(Registration(name, channel, ("platform",), **fields), by=ADMIN)

    def hear(self, health: Health, *names: PDPName) -> None:
        """Let data planes report on what they were offered last."""
        now = self.clock.now()
        for name in names:
            desired = self.world().plane(name).desired
            assert desired is not None
            self.store.record(name, Report(desired.serial, health, "", "", now, now))

    def world(self) -> World:
        """Return what should be and what was observed."""
        return self.services.record.world()

    def running(self, name: PDPName = PROD) -> dict[str, str]:
        """Return which release provides each component of a data plane."""
        desired = self.release_repo.read().plane(name).desired
        assert desired is not None
        state = desired.bundles.get("platform")
        return {component: str(version) for component, version in state.components.items()} if state else {}

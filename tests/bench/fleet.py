"""What a decision costs a fleet of a thousand data planes, and of more: real Git and signatures, no network."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import yaml
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from tests.bench.measuring import CHARTS, ROUNDS, median, medians, row, run, write_bundle
from tests.doubles.memory_registry import MemoryRegistry
from tests.policies import accepted
from tests.state_keys import FIRST
from tests.unit.usecases.stage import KEYS
from ums.adapters.bundle_folder import BundleFolder
from ums.adapters.cosign_bundle import CosignBundleSigner, CosignBundleVerifier
from ums.adapters.git_release_repo import GitReleaseRepo
from ums.adapters.sql_store import SqlStore
from ums.adapters.ssh_signature import SSHStateSigner
from ums.adapters.system_clock import SystemClock
from ums.domain import layout
from ums.domain.fleet import BundleState, Registration
from ums.domain.identity import Holder
from ums.domain.names import PDPName
from ums.domain.oci import Repository
from ums.domain.release import ReleaseName
from ums.domain.rendering import offer, render_planes
from ums.domain.trust import KeySigner
from ums.domain.version import Version, VersionRange
from ums.domain.world import Base, Content, Decision, Document, Raw
from ums.ports import ReleaseRepo
from ums.usecases.build import Build
from ums.usecases.check_trust import CheckTrust
from ums.usecases.instruct import Instruct, Subject, Why
from ums.usecases.promote import Promote
from ums.usecases.publish import Publish
from ums.usecases.reconcile import Reconcile
from ums.usecases.record import Record
from ums.usecases.register_release import RegisterRelease
from ums.usecases.verify import Verify

PLANES = [PDPName(f"org-{number % 50}", f"pdp-{number}") for number in range(1000)]
VERSIONS = [Version(f"1.{minor}.0") for minor in range(ROUNDS + 1)]
PREFIX = Repository("registry.example.com", "ums")
ADMIN = Holder("bench", frozenset({"admin"})).identity


def bench_decisions(folder: Path) -> None:
    """Time a promotion that moves everybody, a pin of one, and the loop with nothing to do."""
    folder.mkdir()
    print(f"\ndeciding about {len(PLANES):,} data planes of {CHARTS} components: read, decide, render, sign, commit")
    signer = CosignBundleSigner(generate_private_key(SECP256R1()), "release")
    record = make_record(folder, signer)
    registry = MemoryRegistry()
    verify = Verify(registry, CosignBundleVerifier())
    publish_all(folder, signer, verify, RegisterRelease(record, verify, CheckTrust(registry, KEYS)))
    promote, instruct = Promote(record, verify), Instruct(record)
    reconcile = Reconcile(record, promote)
    versions, planes = iter(VERSIONS), iter(PLANES)

    def move_all() -> None:
        outcome = promote(ReleaseName("bundle", next(versions)), to="stable", by=ADMIN)
        assert len(outcome.serials) == len(PLANES)

    def pin_one() -> None:
        why = Why(ADMIN, "a measurement")
        outcome = instruct.pin(next(planes), Subject("bundle"), VersionRange(f"<={VERSIONS[-1]}"), why)
        assert outcome.recorded

    move_all()
    everybody, one = median(move_all), median(pin_one)
    row("a promotion that moves all", everybody)
    row("a pin of one", one)
    row("the loop, nothing to do", median(reconcile))
    if shutil.which("ssh-keygen"):
        floor = median(lambda: run(signed_commit(folder), folder))
        row("git commit -S, one file", floor)


def bench_commits(folder: Path) -> None:
    """Time what moves some, or all, of a large fleet, and what comes after; deciding is not in it."""
    for size, moving in ((10_000, (1_000, 10_000)), (100_000, (1_000,))):
        planes = [PDPName(f"org-{number % 50}", f"pdp-{number}") for number in range(size)]
        place = folder / f"fleet-{size}"
        place.mkdir(parents=True)
        print(f"\na fleet of {size:,}, {CHARTS} components each: render, sign, commit; then read")
        signer = CosignBundleSigner(generate_private_key(SECP256R1()), "release")
        record, registry = make_record(place, signer, planes), MemoryRegistry()
        verify = Verify(registry, CosignBundleVerifier())
        publish_all(place, signer, verify, RegisterRelease(record, verify, CheckTrust(registry, KEYS)))
        repo, version = record.release_repo, itertools.cycle(VERSIONS)

        def offer_to(some: list[PDPName], repo: ReleaseRepo = repo, version: Iterator[Version] = version) -> None:
            world, now, target = repo.read(), SystemClock().now(), next(version)
            components = {each.name: target for each in world.entry("bundle", target).release.components}
            bundles = {"bundle": BundleState(target, components)}
            serial = itertools.count(1)
            offers = {pdp: offer(world, pdp, bundles, serial=next(serial), now=now) for pdp in some}
            repo.commit(decision({}, render_planes(world, offers)), base=world.base)

        def main_alone(repo: ReleaseRepo = repo, version: Iterator[Version] = version) -> None:
            document = Document({"schema": 1, "note": str(next(version))})
            repo.commit(decision({layout.channel_state("stable"): document}, {}), base=repo.read().base)

        for count in moving:
            some = planes[:count]
            offer_to(some)
            commits, reads = medians(partial(offer_to, some), repo.read, rounds=3)
            row(f"a commit that moves {count:,}", commits)
            row("reading what it changed", reads)
        row("a commit to main alone", median(main_alone))


def decision(main: dict[str, Content | None], delivery: dict[str, Content | None]) -> Decision:
    """Return a decision of these files."""
    return Decision("bench: Change", "change", "bench", "a measurement", SystemClock().now(), main, delivery)


def make_record(folder: Path, signer: CosignBundleSigner, planes: Sequence[PDPName] = PLANES) -> Record:
    """Return a release repo that knows a channel and the whole fleet."""
    path = folder / "release-repo.git"
    GitReleaseRepo.create(path)
    repo = GitReleaseRepo(path, SSHStateSigner.generate(folder / "state.key"), author="UMS <ums@example.com>")
    signatory = signer.signatory()
    assert isinstance(signatory, KeySigner)
    documents = {
        layout.SETTINGS: {"url": "http://127.0.0.1", "registry": str(PREFIX), "topology": "shared"},
        layout.TRUST: {
            "signers": {"release": {"key": signatory.public_key}},
            "bundles": {"*": {"signers": ["release"], "threshold": 1}},
            "stateKeys": [FIRST],
        },
        layout.channel_policy("stable"): {"description": "all of them"},
        **{layout.fleet_registration(pdp): Registration(pdp, "stable", ("bundle",)).to_dict() for pdp in planes},
    }
    main = accepted({file: Raw(yaml.safe_dump(document).encode()) for file, document in documents.items()})
    clock = SystemClock()
    repo.commit(Decision("bench: Seed", "seed", "bench", "a measurement", clock.now(), {**main}), base=Base())
    return Record(repo, SqlStore("sqlite://"), clock)


def publish_all(folder: Path, signer: CosignBundleSigner, verify: Verify, register: RegisterRelease) -> None:
    """Publish and register all versions."""
    bundle = write_bundle(folder)
    build = Build(BundleFolder(registry=verify.registry, helm=None), SystemClock())
    publish = Publish(verify.registry, signer, verify, None)
    for version in VERSIONS:
        published = publish(build(bundle, version), PREFIX)
        register(published.name, published.digest, by=ADMIN)


def signed_commit(folder: Path) -> list[str]:
    """Return a command that does what Git alone needs for a signed commit."""
    repo = folder / "plain"
    if not repo.exists():
        run(["git", "init", "--quiet", str(repo)], folder)
    settings = {"user.name": "b", "user.email": "b@example.com", "gpg.format": "ssh"}
    settings["user.signingkey"] = str(folder / "state.key")
    flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return ["git", "-C", str(repo), *flags, "commit", "--quiet", "--allow-empty", "-S", "-m", "a measurement"]

"""``make bench``: UMS beside helm and cosign, in one run on one machine, as ratios.

Machines are noisy, so each figure is the median of several rounds, and what counts is the ratio.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.bench.deciding import bench_deciding
from tests.bench.events import bench_events
from tests.bench.fleet import bench_commits, bench_decisions
from tests.bench.measuring import CHARTS, median, medians, row, run, write_bundle
from tests.bench.registry import MIB, bench_registry
from tests.bench.views import bench_views
from tests.e2e.toolchain import find_tool
from tests.processes import Process, free_port, listens
from tests.running_service import PASSWORD
from ums.adapters.cosign_bundle import CosignBundleSigner, CosignBundleVerifier
from ums.domain.digest import Digest


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blob", type=int, default=1024, help="MiB that are pushed and pulled")
    options = parser.parse_args()
    missing = [name for name in ("helm", "cosign", "registry") if find_tool(name) is None]
    if missing:
        print(f"not built: {', '.join(missing)}; python -m tests.e2e.toolchain")
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        config, address = folder / "registry.yaml", f"127.0.0.1:{free_port()}"
        config.write_text(
            f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder / 'store'}}}}}\n"
            f"http: {{addr: '{address}'}}\nlog: {{level: error}}\n"
        )
        registry = Process([tool("registry"), "serve", str(config)], log=folder / "registry.log")
        with registry.wait_until(listens(int(address.partition(":")[2]))):
            bench_publish_and_verify(folder, address)
        bench_start(folder)
        bench_decisions(folder / "fleet")
        bench_commits(folder)
        bench_deciding()
        bench_events(folder / "events")
        bench_views(folder / "views")
        bench_registry(folder / "blobs", size=options.blob * MIB)
    return 0


def bench_publish_and_verify(folder: Path, address: str) -> None:
    """Compare publishing and verifying a bundle of ten charts."""
    bundle = write_bundle(folder)
    run([sys.executable, "-m", "ums", "keys", "generate", "release.key"], folder)
    run([tool("cosign"), "generate-key-pair"], folder)
    charts = sorted((bundle / "charts").iterdir())
    print(f"publishing a bundle of {CHARTS} charts, with a password-protected key")
    # Each round has a prefix of its own: to the registry everything is new, blobs and signatures.
    rounds = iter(range(1, 1000))
    prefix = ""

    def ours() -> None:
        nonlocal prefix
        prefix = f"{address}/ours{next(rounds)}"
        command = [sys.executable, "-m", "ums", "publish", str(bundle), "--version", "1.0.0", "--key", "release.key"]
        run([*command, "--registry", prefix, "--plain-http", "--no-register"], folder)

    def theirs(parallel: int) -> None:
        prefix = f"{address}/theirs{next(rounds)}"
        with ThreadPoolExecutor(parallel) as pool:
            list(pool.map(lambda chart: publish_by_hand(chart, prefix, folder), charts))

    mine, sequential, parallel = medians(ours, lambda: theirs(1), lambda: theirs(4))
    row("ums publish", mine)
    row("helm package, helm push, cosign sign, one after the other", sequential, mine)
    row("the same, four at a time", parallel, mine)

    print(f"\nverifying {CHARTS + 1} signatures (a release and its components)")
    names = ["bundle", *(f"bundle/{chart.name}" for chart in charts)]
    flags = ["--insecure-ignore-tlog=true", "--allow-http-registry=true", "--allow-insecure-registry=true"]

    def verify() -> None:
        command = [sys.executable, "-m", "ums", "verify", "bundle@1.0.0", "--key", "release.pub"]
        run([*command, "--registry", prefix, "--plain-http"], folder)

    def cosign_verify(name: str) -> None:
        run([tool("cosign"), "verify", "--key", "release.pub", *flags, f"{prefix}/{name}:1.0.0"], folder)

    def cosign_verify_all() -> None:
        for name in names:
            cosign_verify(name)

    mine, every, one = medians(verify, cosign_verify_all, lambda: cosign_verify(names[0]))
    row("ums verify", mine)
    row(f"cosign verify, {len(names)} times", every, mine)
    row("cosign verify, once", one, mine)
    signer = CosignBundleSigner.from_file(folder / "release.key", PASSWORD.encode(), name="release")
    digests = [Digest.of(str(number).encode()) for number in range(10)]
    signatures = [signer.sign(digest) for digest in digests]
    verifier, signatories = CosignBundleVerifier(), [signer.signatory()]

    def in_process() -> None:
        for signature, digest in zip(signatures, digests, strict=True):
            assert verifier.verify(signature, digest, signatories) == "release"

    row("ten signatures, in process", median(in_process), mine)


def bench_start(folder: Path) -> None:
    """Compare start-up."""
    print("\nstarting up")
    ums = [sys.executable, "-m", "ums"]
    commands = {
        "helm version": [tool("helm"), "version"],
        "ums --help": [*ums, "--help"],
        "ums version": [*ums, "version"],
    }
    taken = medians(*(partial(run, command, folder) for command in commands.values()), rounds=15)
    for name, seconds in zip(commands, taken, strict=True):
        row(name, seconds, taken[0])


def publish_by_hand(chart: Path, prefix: str, folder: Path) -> None:
    """Package, push and sign one chart as people do without us."""
    out = folder / "packages" / prefix.rpartition("/")[2]
    out.mkdir(parents=True, exist_ok=True)
    run([tool("helm"), "package", str(chart), "--destination", str(out)], folder)
    pushed = run(
        [tool("helm"), "push", str(out / f"{chart.name}-1.0.0.tgz"), f"oci://{prefix}", "--plain-http"], folder
    )
    digest = next(line.split()[-1] for line in pushed.splitlines() if line.startswith("Digest:"))
    flags = ["--yes", "--tlog-upload=false", "--use-signing-config=false", "--allow-http-registry=true"]
    flags += ["--new-bundle-format=true", "--registry-referrers-mode=oci-1-1", "--allow-insecure-registry=true"]
    environment = {"COSIGN_EXPERIMENTAL": "1"}
    run([tool("cosign"), "sign", "--key", "cosign.key", *flags, f"{prefix}/{chart.name}@{digest}"], folder, environment)


def tool(name: str) -> str:
    """Return a tool's path."""
    return str(find_tool(name))


if __name__ == "__main__":
    sys.exit(main())

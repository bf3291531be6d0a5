"""``make bench``: UMS beside helm and cosign, in one run on one machine, as ratios.

Machines are noisy, so each figure is the median of several rounds, and what counts is the ratio.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from tests.e2e.toolchain import find_tool
from tests.processes import Process, free_port, listens
from tests.running_service import PASSWORD, ROOT
from ums.adapters.cosign_bundle import CosignBundleSigner, CosignBundleVerifier
from ums.domain.digest import Digest

CHARTS = 10
ROUNDS = 5


def main() -> int:
    """Print the table."""
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
    bench_start()
    return 0


def bench_publish_and_verify(folder: Path, address: str) -> None:
    """Compare publishing and verifying a bundle of ten charts."""
    bundle = write_bundle(folder)
    run([sys.executable, "-m", "ums", "keys", "generate", "release.key"], folder)
    run([tool("cosign"), "generate-key-pair"], folder)
    charts = sorted((bundle / "charts").iterdir())
    print(f"publishing a bundle of {CHARTS} charts, with a password-protected key")
    rounds = iter(range(1, 1000))

    def ours() -> None:
        prefix = f"{address}/ours{next(rounds)}"
        command = [sys.executable, "-m", "ums", "publish", str(bundle), "--version", "1.0.0", "--key", "release.key"]
        run([*command, "--registry", prefix, "--plain-http", "--no-register"], folder)

    def theirs(parallel: int) -> None:
        prefix = f"{address}/theirs{next(rounds)}"
        with ThreadPoolExecutor(parallel) as pool:
            list(pool.map(lambda chart: publish_by_hand(chart, prefix, folder), charts))

    # Each round has a prefix of its own: to the registry everything is new, blobs and signatures.
    mine = median(ours)
    row("ums publish", mine)
    row("helm package, helm push, cosign sign, one after the other", median(lambda: theirs(1)), mine)
    row("the same, four at a time", median(lambda: theirs(4)), mine)

    print(f"\nverifying {CHARTS + 1} signatures (a release and its components)")
    command = [sys.executable, "-m", "ums", "verify", "bundle@1.0.0", "--key", "release.pub"]
    mine = median(lambda: run([*command, "--registry", f"{address}/ours{ROUNDS}", "--plain-http"], folder))
    row("ums verify", mine)
    subject = f"{address}/ours{ROUNDS}/bundle/chart-0:1.0.0"
    flags = ["--insecure-ignore-tlog=true", "--allow-http-registry=true", "--allow-insecure-registry=true"]
    one = median(lambda: run([tool("cosign"), "verify", "--key", "release.pub", *flags, subject], folder))
    row(f"cosign verify, {CHARTS + 1} times", one * (CHARTS + 1), mine)
    row("cosign verify, once", one, mine)
    signer = CosignBundleSigner.from_file(folder / "release.key", PASSWORD.encode(), name="release")
    digests = [Digest.of(str(number).encode()) for number in range(10)]
    signatures = [signer.sign(digest) for digest in digests]
    verifier, signatories = CosignBundleVerifier(), [signer.signatory()]

    def in_process() -> None:
        for signature, digest in zip(signatures, digests, strict=True):
            assert verifier.verify(signature, digest, signatories) == "release"

    row("ten signatures, in process", median(in_process), mine)


def bench_start() -> None:
    """Compare start-up."""
    print("\nstarting up")
    helm = median(lambda: run([tool("helm"), "version"], ROOT), rounds=15)
    for arguments in (["--help"], ["version"]):
        mine = median(lambda arguments=arguments: run([sys.executable, "-m", "ums", *arguments], ROOT), rounds=15)  # type: ignore[misc]
        row(f"ums {arguments[0]}", mine, helm)
    row("helm version", helm)


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


def write_bundle(folder: Path) -> Path:
    """Write a bundle of small charts that differ in name alone."""
    bundle = folder / "bundle"
    components = []
    for number in range(CHARTS):
        name = f"chart-{number}"
        image = f"registry.example.com/{name}:1@{Digest.of(name.encode())}"
        chart = bundle / "charts" / name
        (chart / "templates").mkdir(parents=True)
        (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: {name}\nversion: 1.0.0\n")
        (chart / "values.yaml").write_text(f"image: {image}\n")
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}}
        (chart / "templates" / "pod.yaml").write_text(
            yaml.safe_dump({**pod, "spec": {"containers": [{"name": "main", "image": image}]}})
        )
        components.append({"name": name, "chart": f"charts/{name}", "namespace": "default", "images": [image]})
    (bundle / "bundle.yaml").write_text(yaml.safe_dump({"name": "bundle", "components": components}))
    return bundle


def tool(name: str) -> str:
    """Return a tool's path."""
    return str(find_tool(name))


def run(command: Sequence[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    """Run a command that must succeed, and return what it printed."""
    env = {**os.environ, "HOME": str(folder), "PYTHONPATH": str(ROOT), **(environment or {})}
    # Without Helm on PATH: that ums renders charts to check them is no part of what is compared.
    env |= {"UMS_KEY_PASSWORD": PASSWORD, "COSIGN_PASSWORD": PASSWORD}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def median(action: Callable[[], object], *, rounds: int = ROUNDS) -> float:
    """Return the median of several rounds, in seconds."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def row(what: str, seconds: float, against: float | None = None) -> None:
    """Print a figure and its ratio."""
    ratio = f"{seconds / against:8.2f} x" if against else ""
    print(f"  {what:<60} {seconds * 1000:9.1f} ms {ratio}")


if __name__ == "__main__":
    sys.exit(main())

"""How figures are taken and shown."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml

from tests.running_service import PASSWORD, ROOT
from ums.domain.digest import Digest

CHARTS = 10
ROUNDS = 5


def median(action: Callable[[], object], *, rounds: int = ROUNDS) -> float:
    """Return the median of several rounds, in seconds."""
    return medians(action, rounds=rounds)[0]


def medians(*actions: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """Return the median of each action, in seconds; they take turns, so that what disturbs one disturbs all."""
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(rounds):
        for action, taken in zip(actions, times, strict=True):
            started = time.perf_counter()
            action()
            taken.append(time.perf_counter() - started)
    return [statistics.median(taken) for taken in times]


def row(what: str, seconds: float, against: float | None = None) -> None:
    """Print a figure and its ratio."""
    ratio = f"{seconds / against:8.2f} x" if against else ""
    print(f"  {what:<60} {seconds * 1000:9.1f} ms {ratio}")


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a command that must succeed, and return what it printed."""
    env = {**os.environ, "HOME": str(folder), "PYTHONPATH": str(ROOT), **(environment or {})}
    env |= {"UMS_KEY_PASSWORD": PASSWORD, "COSIGN_PASSWORD": PASSWORD}
    # Compiled once, as when it is installed, whatever the checkout's own settings are.
    env |= {"PYTHONPYCACHEPREFIX": str(folder / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


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

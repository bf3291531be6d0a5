"""The real parts, built from Go modules once into a cache outside the tree: ``python -m tests.e2e.toolchain``.

Each folder under ``tools/`` pins one module and its dependencies (go.mod, go.sum). Package ``.`` is a program of our
own in that folder. A binary is built again only when its pins or our sources change.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

TOOLS = Path(__file__).parent / "tools"
PACKAGES = {
    "crane": {"crane": "github.com/google/go-containerregistry/cmd/crane"},
    "oras": {"oras": "oras.land/oras/cmd/oras"},
    "etcd": {"etcd": "go.etcd.io/etcd/server/v3"},
    "distribution": {"registry": "github.com/distribution/distribution/v3/cmd/registry"},
    "conformance": {"conformance": "github.com/opencontainers/distribution-spec/conformance"},
    "cosign": {"cosign": "github.com/sigstore/cosign/v3/cmd/cosign"},
    "helm": {"helm": "helm.sh/helm/v4/cmd/helm"},
    "kubernetes": {
        name: f"k8s.io/kubernetes/cmd/{name}"
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
    },
    "source-controller": {"source-controller": "github.com/fluxcd/source-controller"},
    "kustomize-controller": {"kustomize-controller": "github.com/fluxcd/kustomize-controller"},
    "helm-controller": {"helm-controller": "github.com/fluxcd/helm-controller"},
    "notification-controller": {"notification-controller": "github.com/fluxcd/notification-controller"},
    "kwok": {"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
    "differential": {"differential": "."},
}
_FLAGS = {"kubernetes": " -X k8s.io/component-base/version.gitVersion=v1.36.2"}
# Flux's CRDs lie in the folder of each controller's module.
_CRDS = "config/crd/bases"


def cache() -> Path:
    """Return the folder that binaries are kept in."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("UMS_E2E_CACHE") or f"{home}/ums-e2e")


def tool(name: str) -> Path:
    """Return a binary's path.

    Raises:
        FileNotFoundError: it was not built, and is not on PATH.

    """
    path = find_tool(name)
    if path is None:
        raise FileNotFoundError(f"{name} is not built: python -m tests.e2e.toolchain")
    return path


def find_tool(name: str) -> Path | None:
    """Return a binary's path, from the cache or PATH, or ``None``."""
    built = cache() / "bin" / name
    if built.exists():
        return built
    found = shutil.which(name)
    return Path(found) if found else None


def crds(controller: str) -> Path:
    """Return the folder with the CRDs of one of Flux's controllers."""
    return cache() / "crds" / controller


def build(folder: str) -> None:
    """Build the binaries of one folder, unless those of the same pins and sources are there."""
    source, target = TOOLS / folder, cache() / "bin"
    inputs = (source / "go.mod", source / "go.sum", *sorted(source.glob("*.go")))
    pins = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
    stamp = cache() / "stamps" / folder
    binaries = PACKAGES[folder]
    if stamp.exists() and stamp.read_text() == pins and all((target / name).exists() for name in binaries):
        return
    started = time.monotonic()
    print(f"building {', '.join(binaries)} …", flush=True)
    for path in (target, stamp.parent):
        path.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -buildvcs=false"}
    for name, package in binaries.items():
        flags = f"-s -w{_FLAGS.get(folder, '')}"
        command = ["go", "build", "-ldflags", flags, "-o", str(target / f".{name}"), package]
        subprocess.run(command, cwd=source, env=env, check=True)
        (target / f".{name}").rename(target / name)
    if (module := f"github.com/fluxcd/{folder}") in binaries.values():
        command = ["go", "list", "-m", "-f", "{{.Dir}}", module]
        found = subprocess.run(command, cwd=source, env=env, check=True, capture_output=True, text=True).stdout.strip()
        copy = cache() / "crds" / folder
        if copy.exists():
            shutil.rmtree(copy)
        copy.mkdir(parents=True)
        # File by file, without modes: the module cache is read-only, and so would be the folder of a copied tree.
        for path in (Path(found) / _CRDS).iterdir():
            shutil.copyfile(path, copy / path.name)
    stamp.write_text(pins)
    print(f"  {time.monotonic() - started:.0f} s", flush=True)


def main() -> int:
    """Build all, or the folders named; without Go, say so loudly and go on."""
    if shutil.which("go") is None:
        print("!!! no Go here: the end-to-end tests will be skipped", flush=True)
        return 0
    for folder in sys.argv[1:] or PACKAGES:
        build(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())

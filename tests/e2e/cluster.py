"""A Kubernetes API with Flux, as processes on this machine: no container, no kubelet (kwok plays it)."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import URLError
from urllib.request import Request, urlopen

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.e2e.toolchain import crds, tool
from tests.processes import Process, eventually, free_port, listens

TOKEN = "e2e-admin"  # noqa: S105 - of a cluster that lives for a test
_CONTROLLERS = (
    "deployment-controller,replicaset-controller,statefulset-controller,daemonset-controller,job-controller,"
    "namespace-controller,garbage-collector-controller,endpointslice-controller,serviceaccount-controller"
)
FLUX = ("source-controller", "kustomize-controller", "helm-controller", "notification-controller")


class ApiServer:
    """A Kubernetes API without controllers, which is all that admission needs; a context manager.

    Its folder holds data and logs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _run(self, name: str, *arguments: str, env: dict[str, str] | None = None) -> Process:
        process = Process([tool(name), *arguments], log=self.folder / f"{name}.log", env=env, cwd=self.folder)
        return self._stack.enter_context(process)

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        etcd_port, peer_port, api_port = free_port(), free_port(), free_port()
        etcd_url, peer_url = f"http://127.0.0.1:{etcd_port}", f"http://127.0.0.1:{peer_port}"
        etcd = self._run(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={etcd_url}",
            f"--advertise-client-urls={etcd_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=default={peer_url}",
            "--unsafe-no-fsync=true",
        )
        self._write_keys(api_port)
        etcd.wait_until(listens(etcd_port))
        api = self._run(
            "kube-apiserver",
            f"--etcd-servers={etcd_url}",
            f"--secure-port={api_port}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={self.folder / 'certs'}",
            "--authorization-mode=RBAC",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--disable-admission-plugins=ServiceAccount",
            f"--service-account-key-file={self.folder / 'sa.pub'}",
            f"--service-account-signing-key-file={self.folder / 'sa.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/16",
        )
        api.wait_until(lambda: self._ready(api_port), timeout=90)

    def _write_keys(self, api_port: int) -> None:
        key = generate_private_key(65537, 2048)
        (self.folder / "sa.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        )
        (self.folder / "sa.pub").write_bytes(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        (self.folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "e2e",
                    "cluster": {"server": f"https://127.0.0.1:{api_port}", "insecure-skip-tls-verify": True},
                }
            ],
            "users": [{"name": "admin", "user": {"token": TOKEN}}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "admin"}}],
            "current-context": "e2e",
        }
        self.kubeconfig.write_text(json.dumps(config))

    def _ready(self, port: int) -> bool:
        request = Request(f"https://127.0.0.1:{port}/readyz", headers={"Authorization": f"Bearer {TOKEN}"})
        context = ssl._create_unverified_context()  # noqa: S323 - a certificate that the server made for itself
        try:
            with urlopen(request, timeout=2, context=context) as answer:  # noqa: S310 - our own
                return bool(answer.status == 200)
        except URLError:
            return False

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl and return what it printed."""
        done = self._tool("kubectl", arguments, stdin)
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout if check else done.stdout + done.stderr

    def helm(self, *arguments: str) -> str:
        """Run Helm, as somebody did before UMS came, and return what it printed."""
        done = self._tool("helm", arguments, None)
        if done.returncode:
            raise AssertionError(f"helm {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def _tool(self, name: str, arguments: Sequence[str], stdin: str | None) -> subprocess.CompletedProcess[str]:
        command = [str(tool(name)), f"--kubeconfig={self.kubeconfig}", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)

    def apply(self, text: str) -> None:
        """Apply objects as an administrator would, server-side."""
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def install_crds(self, *controllers: str) -> None:
        """Install the definitions of Flux's controllers, and wait until the API serves them."""
        for name in controllers:
            self.kubectl("apply", "--server-side", "-f", str(crds(name)))
        self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")

    def get(self, kind: str, name: str, namespace: str = "ums-system") -> dict[str, Any]:
        """Return an object."""
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-n", namespace, "-o", "json"))
        return found

    def exists(self, kind: str, name: str, namespace: str = "ums-system") -> bool:
        """Return whether an object is there."""
        return bool(self.kubectl("get", kind, name, "-n", namespace, "--ignore-not-found", "-o", "name").strip())

    def ready(self, kind: str, name: str, namespace: str = "ums-system") -> tuple[str, str]:
        """Return status and message of an object's condition Ready."""
        conditions = self.get(kind, name, namespace).get("status", {}).get("conditions", [])
        found = next((each for each in conditions if each["type"] == "Ready"), {"status": "?", "message": ""})
        return found["status"], f"{found.get('reason', '')}: {found['message']}"

    def wait_message(self, kind: str, name: str, text: str, *, timeout: float = 180) -> str:
        """Wait until an object's condition Ready says something, and return all of it."""

        def says() -> str:
            _, message = self.ready(kind, name)
            return message if text in message else ""

        return eventually(says, timeout=timeout, what=f"{kind} {name} says {text!r}", every=0.5)


class Cluster(ApiServer):
    """A Kubernetes API with its controllers and Flux; a context manager."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.controllers: dict[str, Process] = {}
        self._flux_commands: dict[str, tuple[list[str], int]] = {}

    def _start(self) -> None:
        super()._start()
        config = f"--kubeconfig={self.kubeconfig}"
        self._run("kube-controller-manager", config, f"--controllers={_CONTROLLERS}", "--leader-elect=false",
                  f"--secure-port={free_port()}", f"--cert-dir={self.folder / 'kcm'}",
                  "--concurrent-deployment-syncs=5")  # fmt: skip
        self._run("kube-scheduler", config, "--leader-elect=false", f"--secure-port={free_port()}",
                  f"--cert-dir={self.folder / 'sched'}")  # fmt: skip
        self._run("kwok", config, "--manage-all-nodes=true", f"--config={Path(__file__).parent / 'stages.yaml'}",
                  f"--server-address=127.0.0.1:{free_port()}")  # fmt: skip
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "node-0", "annotations": {"kwok.x-k8s.io/node": "fake"}},
        }
        self.apply(json.dumps(node))
        self.apply(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "flux-system"}}))
        self.install_crds(*FLUX)
        self.kubectl("taint", "node", "node-0", "node.kubernetes.io/not-ready-", check=False)
        self._start_flux()

    def _start_flux(self) -> None:
        events, storage = free_port(), free_port()
        common = ["--watch-all-namespaces=true", "--enable-leader-election=false", "--log-level=info"]
        sender = [f"--events-addr=http://127.0.0.1:{events}/", "--interval-jitter-percentage=0"]
        storage_path = self.folder / "artifacts"
        storage_path.mkdir(exist_ok=True)
        address = f"127.0.0.1:{storage}"
        extra = {
            "source-controller": [
                *sender,
                f"--storage-path={storage_path}",
                f"--storage-addr={address}",
                f"--storage-adv-addr={address}",
            ],
            # As our docs recommend: a fix does not wait for the health check of what it fixes, nor for a worker.
            "kustomize-controller": [
                *sender,
                "--requeue-dependency=2s",
                "--concurrent=20",
                "--feature-gates=CancelHealthCheckOnNewRevision=true",
            ],
            "helm-controller": [*sender, "--requeue-dependency=2s", "--concurrent=20"],
            "notification-controller": [
                f"--events-addr=127.0.0.1:{events}",
                f"--receiverAddr=127.0.0.1:{free_port()}",
                "--rate-limit-interval=1s",
            ],
        }
        for name in FLUX:
            health = free_port()
            arguments = [
                *common,
                *extra[name],
                f"--metrics-addr=127.0.0.1:{free_port()}",
                f"--health-addr=127.0.0.1:{health}",
            ]
            self._flux_commands[name] = (arguments, health)
            self.start_controller(name)
        for name in FLUX:
            self.controllers[name].wait_until(listens(self._flux_commands[name][1]), timeout=60)

    def start_controller(self, name: str) -> None:
        """Start one of Flux's controllers, with the flags it had."""
        env = {"KUBECONFIG": str(self.kubeconfig), "RUNTIME_NAMESPACE": "flux-system", "HOME": str(self.folder)}
        self.controllers[name] = self._run(name, *self._flux_commands[name][0], env=env)

"""Where a cluster's API is, and who one is there: by default that of the pod that runs this."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ums.cli.types import LINK

Command = TypeVar("Command", bound=Callable[..., Any])

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_OPTIONS = (
    click.option("--kube-url", type=LINK, metavar="URL", help="The cluster's API.  [default: that of the pod]"),
    click.option(
        "--kube-ca",
        type=FILE,
        help="What its certificate is checked by.  [default: the pod's]",
    ),
    click.option("--kube-token-file", type=FILE, help="A token for it.  [default: the pod's]"),
)


def cluster_options(command: Command) -> Command:
    """Add ``--kube-url``, ``--kube-ca`` and ``--kube-token-file``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def cluster_of(options: dict[str, Any]) -> tuple[str, str, Path]:
    """Return URL, token and authorities of the cluster that is meant.

    Raises:
        click.UsageError: none is, and this is no pod.
        InvalidInputError: the token cannot be read.

    """
    url = options["kube_url"] or _own_url()
    token, authorities = options["kube_token_file"] or _ACCOUNT / "token", options["kube_ca"] or _ACCOUNT / "ca.crt"
    return url, read_text(token), authorities


def _own_url() -> str:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise click.UsageError("this is no pod of a cluster: give --kube-url, --kube-ca and --kube-token-file")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def read_text(path: Path) -> str:
    """Return what a mounted file holds.

    Raises:
        InvalidInputError: it is not there, empty, or no text.

    """
    from ums.domain.errors import InvalidInputError

    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InvalidInputError(
            f"cannot read {path}: {reason}", hint="is the Secret or token mounted there?"
        ) from error
    if not text:
        raise InvalidInputError(f"{path} is empty", hint="is the Secret or token mounted there?")
    return text

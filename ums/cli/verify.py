"""``ums verify``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from ums.cli.client import make_client, registry_of
from ums.cli.output import echo, emit, output_option, print_table, short_digest
from ums.cli.types import LINK, RELEASE, REPOSITORY

if TYPE_CHECKING:
    from ums.cli.client import Access
    from ums.client import Client
    from ums.domain.oci import Repository
    from ums.domain.release import ReleaseName
    from ums.domain.trust import Signatory, TrustPolicy


@click.command()
@click.argument("name", type=RELEASE, metavar="RELEASE")
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Public release key to trust; every one given must have signed. Without it, the service's trust counts.",
)
@click.option(
    "--registry", type=REPOSITORY, default=None, help="Prefix of all repositories.  [default: what the service says]"
)
@click.option("--plain-http", is_flag=True, help="The registry of --registry speaks HTTP.")
@click.option("--server", type=LINK, envvar="UMS_SERVER", metavar="URL", help="The service.  [env: UMS_SERVER]")
@click.option(
    "--token-file",
    envvar="UMS_TOKEN_FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the API token.  [env: UMS_TOKEN_FILE; or the token itself in UMS_TOKEN]",
)
@output_option
def verify(
    name: ReleaseName,
    keys: tuple[Path, ...],
    registry: Repository | None,
    output: str,
    **options: Any,  # noqa: ANN401 - click's options
) -> None:
    """Verify RELEASE (bundle@version) and each of its components, reading only the registry.

    With --key and --registry no service is asked. Exit code 7: a signature is missing or wrong.
    """
    from ums.publisher import make_verify

    client = None
    if registry is None or not keys:
        client = make_client(options["server"], os.environ.get("UMS_TOKEN"), options["token_file"])
    if registry is not None:
        access: Access = {"login": None, "plain_http": options["plain_http"]}
        prefix = registry
    else:
        assert client is not None  # noqa: S101 - made whenever there is no --registry
        prefix, access = registry_of(client)
    trust = trust_of_keys(keys) if keys else trust_of_service(client)
    verifying = make_verify(**access)
    descriptor = verifying.registry.find(prefix / name.bundle, name.version.tag)
    if descriptor is None:
        from ums.domain.errors import NotFoundError

        raise NotFoundError(f"{prefix / name.bundle} has no release {name.version}")
    _, _, verified = verifying.release(prefix, name.bundle, descriptor.digest, trust)
    shown = [each.to_dict() for each in verified]
    data = {"release": str(name), "verified": shown}

    def table() -> None:
        rows = [(each["subject"], short_digest(each["digest"]), ", ".join(each["signedBy"])) for each in shown]
        print_table(("artifact", "digest", "signed by"), rows, empty="")
        echo(f"✓ {name} is verified", fg="green")

    emit(data, output, table)


def trust_of_keys(keys: tuple[Path, ...]) -> TrustPolicy:
    """Return that each of these keys must have signed, whatever their files are called."""
    from ums.domain.trust import KeySigner, SigningRule, TrustPolicy

    names: dict[str, str] = {}
    for path in keys:
        key, name = path.read_text().strip(), path.name.removesuffix(".pub")
        names.setdefault(key, name if name not in names.values() else str(path))
    rule = SigningRule(tuple(names.values()), len(names))
    return TrustPolicy({name: KeySigner(name, key) for key, name in names.items()}, {"*": rule})


def trust_of_service(client: Client | None) -> TrustPolicy:
    """Return whose signatures count for the service."""
    from ums.domain.trust import KeylessSigner, KeySigner, SigningRule, TrustPolicy

    assert client is not None  # noqa: S101 - made whenever there are no keys
    data = client.get_trust()
    signers: dict[str, Signatory] = {}
    for name, each in cast("dict[str, dict[str, str]]", data["signers"]).items():
        if "key" in each:
            signers[name] = KeySigner(name, each["key"])
        else:
            keyless = signers[name] = KeylessSigner.from_dict(name, each)
            keyless.check()
    return TrustPolicy(
        signers,
        {name: SigningRule(tuple(rule["signers"]), rule["threshold"]) for name, rule in data["bundles"].items()},
    )

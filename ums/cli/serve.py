"""``ums serve``."""

from __future__ import annotations

from pathlib import Path

import click

from ums.cli.asking import does_not_ask


@click.command()
@click.argument("data", type=click.Path(file_okay=False, path_type=Path), required=False)
@click.option("--listen", default=None, help="Address, host:port.  [env: UMS_LISTEN; default: 127.0.0.1:8080]")
@click.option("--threads", type=click.IntRange(1, 256), default=16, show_default=True, help="Requests at a time.")
@does_not_ask("does what was decided")
def serve(data: Path | None, listen: str | None, threads: int) -> None:
    """Run the service on the folder DATA that ums init made: API, Git, embedded registry and scheduler.

    Settings come from service.yaml in DATA; the environment overrides it. ums config check prints what is in force.
    At start the database is brought up to date; several processes may start at once.

    \b
    Environment:
      UMS_DATA                     the folder           [default: ums-data]
      UMS_CONFIG                   the file             [default: service.yaml in the folder]
      UMS_LISTEN                   address              [default: 127.0.0.1:8080]
      UMS_TRUSTED_PROXIES          reverse proxies whose X-Forwarded headers are believed  [default: 0]
      UMS_CONNECTIONS_PER_ADDRESS  connections of one client address  [default: 512]
      UMS_RECONCILE_EVERY          how often the loop runs when nobody acts  [default: 10s]
      UMS_DATABASE_URL             postgresql://user@host/name   [default: ums.db in the folder]
      UMS_DATABASE_PASSWORD_FILE   file with its password
      UMS_REGISTRY_USERNAME        login at an outside registry
      UMS_REGISTRY_PASSWORD_FILE   file with its password
      UMS_TLS_CERT_FILE            certificate chain, to serve HTTPS
      UMS_TLS_KEY_FILE             its private key
      UMS_OIDC_ISSUER              where people log in: an OpenID Connect issuer
      UMS_OIDC_CLIENT_ID           the service's id there
      UMS_OIDC_CLIENT_SECRET_FILE  file with its secret there
      UMS_OIDC_SCOPES              what to ask for      [default: openid email profile]
      UMS_OIDC_GROUPS_CLAIM        claim with groups    [default: groups]
      UMS_OIDC_SUBJECT_CLAIM       claim people are called by  [default: email, if verified]
      UMS_OIDC_ALLOWED_DOMAINS     of addresses that may log in  [default: all]
      UMS_GIT_HOST_URL             repository at a Git host, https:// or ssh://
      UMS_GIT_HOST_USERNAME        user for HTTPS       [default: git]
      UMS_GIT_HOST_PASSWORD_FILE   file with its password, or a token
      UMS_GIT_HOST_SSH_KEY_FILE    private key that may push
      UMS_GIT_HOST_KNOWN_HOSTS_FILE  the host's own keys
      UMS_HISTORY_RETENTION        how long health history is kept  [default: 90d]
      UMS_METRICS_ANONYMOUS        who reads /metrics without a token: local, never, always  [default: local]
      UMS_LOG_FORMAT               json, console or auto  [default: auto, console at a terminal]
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    import os

    from ums.bootstrap import prepare
    from ums.config import Settings
    from ums.domain.errors import NotFoundError
    from ums.wsgi import run

    env = dict(os.environ)
    if data is not None:
        env["UMS_DATA"] = str(data)
    settings = Settings.from_env(env, options={"listen": ("--listen", listen)} if listen else {})
    if not settings.state_key.exists():
        raise NotFoundError(f"{settings.data} holds no UMS data", hint=f"ums init {settings.data} --url … makes it")
    prepare(settings)
    run(settings, threads=threads)

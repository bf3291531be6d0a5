"""Settings: what counts, where it comes from, and everything that is wrong, at once."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.x509.oid import NameOID

from ums.config import FILE_NAME, Found, Settings, fields, find_settings
from ums.domain.errors import InvalidInputError
from ums.domain.issuers import Issuer

WHOLE = """\
listen: 0.0.0.0:8443
trustedProxies: 1
reconcileEvery: 30s
database:
  url: postgresql://ums@db.example.com/ums
  passwordFile: secrets/database
registry:
  username: reader
  passwordFile: secrets/registry
history:
  retention: 30d
"""


def write(folder: Path, text: str) -> dict[str, str]:
    """Write the file, and return the environment that leads there."""
    (folder / FILE_NAME).write_text(text)
    (folder / "secrets").mkdir(exist_ok=True)
    for name in ("database", "registry"):
        (folder / "secrets" / name).write_text(f"{name}-secret\n")
    return {"UMS_DATA": str(folder)}


def make_certificate(folder: Path, name: str = "tls", password: bytes = b"") -> tuple[Path, Path]:
    """Write a certificate for localhost and its key."""
    key: EllipticCurvePrivateKey = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    cert_file, key_file = folder / f"{name}.crt", folder / f"{name}.key"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    return cert_file, key_file


def said(found: Found) -> dict[str, str]:
    """Return what is wrong, by where it stands."""
    return {problem.where: problem.message for problem in found.problems}


def test_without_file_and_variables_the_defaults_count(tmp_path: Path) -> None:
    """The database is a file beside the keys."""
    settings = Settings.from_env({"UMS_DATA": str(tmp_path)})
    assert settings == Settings(tmp_path)
    assert settings.database == f"sqlite:///{tmp_path}/ums.db"


def test_a_file_sets_everything_and_names_what_is_beside_it(tmp_path: Path) -> None:
    """Secrets are read from their files, and do not show."""
    settings = Settings.from_env(write(tmp_path, WHOLE))
    assert settings == Settings(
        tmp_path,
        listen="0.0.0.0:8443",
        trusted_proxies=1,
        reconcile_every=timedelta(seconds=30),
        database_url="postgresql://ums@db.example.com/ums",
        database_password="database-secret",  # noqa: S106 - of an example
        registry_username="reader",
        registry_password="registry-secret",  # noqa: S106 - of an example
        history_retention=timedelta(days=30),
    )
    assert "-secret" not in repr(settings)
    assert settings.database_file is None


def test_an_issuer_is_read_with_its_secret(tmp_path: Path) -> None:
    """What is not said has a default that holds for most."""
    text = "oidc:\n  issuer: https://login.example.com\n  clientId: ums\n  clientSecretFile: secrets/registry\n"
    env = write(tmp_path, text)
    issuer = Settings.from_env(env).issuer
    assert issuer == Issuer("https://login.example.com", "ums", "registry-secret")
    assert "-secret" not in repr(issuer)
    env |= {"UMS_OIDC_ALLOWED_DOMAINS": "Example.com, example.org", "UMS_OIDC_SUBJECT_CLAIM": "sub"}
    issuer = Settings.from_env(env).issuer
    assert issuer is not None
    assert (issuer.allowed_domains, issuer.subject_claim) == (frozenset({"example.com", "example.org"}), "sub")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"ISSUER": "https://login.example.com"}, "this needs oidc.clientId as well"),
        ({"CLIENT_ID": "ums"}, "this needs oidc.issuer as well"),
        ({"ISSUER": "http://login.example.com", "CLIENT_ID": "ums"}, "is not HTTPS"),
        ({"ISSUER": "https://user@login.example.com", "CLIENT_ID": "ums"}, "is no URL of an issuer"),
        ({"ISSUER": "login.example.com", "CLIENT_ID": "ums"}, "is no URL of an issuer"),
        ({"ISSUER": "https://[x", "CLIENT_ID": "ums"}, "is no URL of an issuer"),
        ({"SCOPES": "email"}, "without the scope openid"),
        ({"ISSUER": "https://a.example.com", "CLIENT_ID": "x", "ALLOWED_DOMAINS": "a@b.com"}, "are no domains"),
    ],
)
def test_an_issuer_that_would_log_nobody_in_is_refused(tmp_path: Path, settings: dict[str, str], says: str) -> None:
    """Or anybody."""
    found = find_settings({"UMS_DATA": str(tmp_path)} | {f"UMS_OIDC_{name}": each for name, each in settings.items()})
    (problem,) = found.problems
    assert says in problem.message


def test_an_issuer_on_this_machine_needs_no_https() -> None:
    """For trying things out."""
    for host in ("localhost:8080", "127.0.0.1:1", "[::1]:1"):
        found = find_settings({"UMS_OIDC_ISSUER": f"http://{host}", "UMS_OIDC_CLIENT_ID": "ums"})
        assert not found.problems


def test_variables_count_more_than_the_file_and_options_most(tmp_path: Path) -> None:
    """Each value tells where it comes from."""
    env = write(tmp_path, WHOLE) | {
        "UMS_LISTEN": "127.0.0.1:1",
        "UMS_TRUSTED_PROXIES": "2",
        "UMS_REGISTRY_USERNAME": "",
    }
    found = find_settings(env, options={"listen": ("--listen", "127.0.0.1:2")})
    assert not found.problems
    told = {name: (each.value, each.source, each.where) for name, each in found.values.items()}
    assert told["listen"] == ("127.0.0.1:2", "option", "--listen")
    assert told["trustedProxies"] == (2, "env", "UMS_TRUSTED_PROXIES")
    assert told["registry.username"] == ("reader", "file", f"{tmp_path}/{FILE_NAME}:8")
    assert told["tls.certFile"] == (None, "default", "")
    assert find_settings({"UMS_DATA": "d"}).values["database.url"].value == "sqlite:///d/ums.db"
    assert "-secret" not in repr(found)


def test_a_file_may_be_elsewhere_and_then_must_be_there(tmp_path: Path) -> None:
    """Whoever names it means it."""
    other = tmp_path / "etc"
    other.mkdir()
    env = {"UMS_DATA": str(tmp_path), "UMS_CONFIG": str(other / "ums.yaml")}
    assert said(find_settings(env)) == {"UMS_CONFIG": f"cannot read {other}/ums.yaml: No such file or directory"}
    (other / "ums.yaml").write_text("listen: 127.0.0.1:9\n")
    assert Settings.from_env(env).listen == "127.0.0.1:9"


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    """With file, line and field, or the name of the variable."""
    text = (
        "listne: 127.0.0.1:8080\n"
        "trustedProxies: many\n"
        "database:\n  url: postgresql://ums:hunter2@db/ums\n"
        "registry:\n  username: reader\n"
        "history: {retention: 0s}\n"
    )
    env = write(tmp_path, text) | {
        "UMS_RECONCILE_EVERY": "soon",
        "UMS_LISTEN": "localhost",
        "UMS_DATABASE_PASSWORD_FILE": f"{tmp_path}/nothing",
        "UMS_TLS_CERT_FILE": f"{tmp_path}/nothing",
    }
    found, file = find_settings(env), f"{tmp_path}/{FILE_NAME}"
    assert {(problem.where, problem.field) for problem in found.problems} == {
        (f"{file}:1", "listne"),
        (f"{file}:2", "trustedProxies"),
        (f"{file}:4", "database.url"),
        (f"{file}:6", "registry.username"),
        (f"{file}:7", "history.retention"),
        ("UMS_RECONCILE_EVERY", "reconcileEvery"),
        ("UMS_LISTEN", "listen"),
        ("UMS_DATABASE_PASSWORD_FILE", "database.passwordFile"),
        ("UMS_TLS_CERT_FILE", "tls.certFile"),
    }
    with pytest.raises(InvalidInputError) as caught:
        Settings.from_env(env)
    message = caught.value.message
    assert f"{file}:1: listne: this field is not known (did you mean listen?)" in message
    assert "UMS_RECONCILE_EVERY: 'soon' is not a duration" in message
    assert "hunter2" not in message + repr(found.problems)


def test_a_file_that_is_no_yaml_hides_no_wrong_variable(tmp_path: Path) -> None:
    """Both are said."""
    env = write(tmp_path, "a: [\n") | {"UMS_LISTEN": "x"}
    found = find_settings(env)
    assert [problem.where for problem in found.problems] == [f"{tmp_path}/{FILE_NAME}:2", "UMS_LISTEN"]
    assert "not YAML" in found.problems[0].message


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        ("- a\n", 1, ""),
        ("listen: 8080\n", 1, "listen"),
        ("listen: ':8080'\n", 1, "listen"),
        ("listen: 'x:65536'\n", 1, "listen"),
        ("trustedProxies: -1\n", 1, "trustedProxies"),
        ("trustedProxies: true\n", 1, "trustedProxies"),
        ("database: sqlite://\n", 1, "database"),
        ("database:\n  url: mysql://x/y\n", 2, "database.url"),
        ("database:\n  url: postgresql://h/x?password=y\n", 2, "database.url"),
        ("database:\n  url: 'sqlite://'\n", 2, "database.url"),
        ("database:\n  password: hunter2\n", 2, "database.password"),
        ("database:\n  passwordFile: secrets/database\n", 2, "database.passwordFile"),
        ("database: {url: 'sqlite:////x', passwordFile: secrets/database}\n", 1, "database.passwordFile"),
        ("registry:\n  passwordFile: secrets/registry\n", 2, "registry.passwordFile"),
        ("registry: {username: x, passwordFile: .}\n", 1, "registry.passwordFile"),
        ("reconcileEvery: 0s\n", 1, "reconcileEvery"),
        ("listen: x:1\nlisten: x:2\n", 2, "listen"),
    ],
)
def test_one_wrong_field_is_named_with_its_line(tmp_path: Path, text: str, line: int, field: str) -> None:
    """And nothing else is."""
    env = write(tmp_path, text)
    found = find_settings(env)
    assert [(each.where, each.field) for each in found.problems] == [(f"{tmp_path}/{FILE_NAME}:{line}", field)]
    with pytest.raises(InvalidInputError) as caught:
        Settings.from_env(env)
    assert caught.value.message.startswith(f"{tmp_path}/{FILE_NAME}:{line}: {field}")
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize("content", [b"", b"\n", b"x" * 5000, b"\xff\xfe"])
def test_a_secret_that_can_be_none_is_refused(tmp_path: Path, content: bytes) -> None:
    """An empty password file is a mount that failed."""
    env = write(tmp_path, "") | {"UMS_REGISTRY_USERNAME": "x"}
    (tmp_path / "password").write_bytes(content)
    found = find_settings(env | {"UMS_REGISTRY_PASSWORD_FILE": str(tmp_path / "password")})
    assert list(said(found)) == ["UMS_REGISTRY_PASSWORD_FILE"]


def test_a_certificate_is_tried_with_its_key(tmp_path: Path) -> None:
    """Now, and not with the first connection."""
    cert, key = make_certificate(tmp_path)
    _, other = make_certificate(tmp_path, "other")
    _, locked = make_certificate(tmp_path, "locked", b"secret")
    env = {"UMS_DATA": str(tmp_path), "UMS_TLS_CERT_FILE": str(cert)}
    settings = Settings.from_env(env | {"UMS_TLS_KEY_FILE": str(key)})
    assert (settings.tls_cert_file, settings.tls_key_file) == (cert, key)
    for wrong in (other, locked, cert):
        assert "cannot be used" in said(find_settings(env | {"UMS_TLS_KEY_FILE": str(wrong)}))["UMS_TLS_CERT_FILE"]


def test_every_setting_has_a_variable_and_a_sentence() -> None:
    """The variable is named like the field."""
    names = {field.name: field.env for field in fields()}
    assert names["database.passwordFile"] == "UMS_DATABASE_PASSWORD_FILE"
    assert names["reconcileEvery"] == "UMS_RECONCILE_EVERY"
    assert all(field.description.endswith(".") for field in fields())


def test_settings_made_by_hand_are_checked_too(tmp_path: Path) -> None:
    """Nobody gets around it."""
    for wrong in ({"listen": "x"}, {"database_url": "mysql://x"}, {"tls_key_file": tmp_path}):
        with pytest.raises(InvalidInputError):
            Settings(tmp_path, **wrong)


def test_the_folder_is_not_touched(tmp_path: Path) -> None:
    """Looking changes nothing."""
    before = stat.S_IMODE(tmp_path.stat().st_mode)
    find_settings({"UMS_DATA": str(tmp_path)})
    assert (list(tmp_path.iterdir()), stat.S_IMODE(tmp_path.stat().st_mode)) == ([], before)


def test_what_is_commented_out_is_not_set(tmp_path: Path) -> None:
    """A section of which only the name is left, or a field without a value."""
    env = write(tmp_path, "listen:\ndatabase:\nregistry:\n  # username: x\ntls: {certFile: }\n")
    assert Settings.from_env(env) == Settings(tmp_path)
    assert Settings.from_env(env | {"UMS_DATABASE_URL": "sqlite:////x.db"}).database == "sqlite:////x.db"


def test_a_variable_that_is_nearly_a_setting_is_told(tmp_path: Path) -> None:
    """Others of that prefix are for commands, tests, or Kubernetes, which names variables after services."""
    mine = {"UMS_DATA": str(tmp_path)}
    assert said(find_settings(mine | {"UMS_LISTENS": "x:1", "UMS_DATABASE_PASSWORDFILE": "x"})) == {
        "UMS_LISTENS": "no such setting",
        "UMS_DATABASE_PASSWORDFILE": "no such setting",
    }
    others = "SERVER TOKEN TOKEN_FILE KEY KEY_PASSWORD KEY_FILE URL REGISTRY PORT SERVICE_HOST PORT_8080_TCP E2E_CACHE"
    assert not find_settings(mine | {f"UMS_{name}": "x" for name in others.split()}).problems

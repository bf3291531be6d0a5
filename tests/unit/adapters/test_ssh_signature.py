"""Commits are signed as OpenSSH and Git expect it, and only that is believed."""

from __future__ import annotations

import base64
import os
import stat
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from ums.adapters.ssh_signature import SSHStateSigner, check_state_key, verify_ssh_signature
from ums.domain.errors import ConflictError, InvalidInputError, StorageError

SIGNER = SSHStateSigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))
PAYLOAD = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\nchannels/stable: Promote\n"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the file of a state key."""
    path = tmp_path_factory.mktemp("state") / "state.key"
    SSHStateSigner.generate(path)
    return path


@pytest.fixture(scope="module")
def signer(key: Path) -> SSHStateSigner:
    """Give its signer."""
    return SSHStateSigner.load(key)


def run(*command: str | Path, cwd: Path, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> bytes:
    """Run a real tool, with the developer's own configuration shut out."""
    shut = {"PATH": os.environ["PATH"], "HOME": str(cwd), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        env={**shut, **(env or {})},
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    return done.stdout


def allowed(folder: Path, signer: SSHStateSigner) -> Path:
    """Write the file that OpenSSH reads its trusted keys from."""
    path = folder / "allowed"
    path.write_text(f"ums@localhost {signer.public_key}\n")
    return path


def test_openssh_verifies_what_we_sign(tmp_path: Path, signer: SSHStateSigner) -> None:
    """``ssh-keygen -Y verify`` accepts our signature in namespace ``git``."""
    signature = tmp_path / "signature"
    signature.write_text(signer.sign(PAYLOAD))
    command = ("ssh-keygen", "-Y", "verify", "-n", "git", "-I", "ums@localhost", "-s", signature)
    assert b'Good "git" signature' in run(*command, "-f", allowed(tmp_path, signer), cwd=tmp_path, stdin=PAYLOAD)


def test_we_verify_what_openssh_signs(tmp_path: Path, key: Path, signer: SSHStateSigner) -> None:
    """Our key file is OpenSSH's, and ``ssh-keygen -Y sign`` makes the very same signature with it."""
    assert run("ssh-keygen", "-y", "-f", key, cwd=tmp_path).split()[:2] == signer.public_key.encode().split()[:2]
    made = run("ssh-keygen", "-Y", "sign", "-n", "git", "-f", key, cwd=tmp_path, stdin=PAYLOAD).decode()
    assert made == signer.sign(PAYLOAD)
    assert verify_ssh_signature(PAYLOAD, made, [signer.public_key]) == signer.public_key


def test_a_key_that_openssh_made_is_read(tmp_path: Path) -> None:
    """``ssh-keygen -t ed25519`` makes a usable state key."""
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "offline", "-f", tmp_path / "state.key", cwd=tmp_path)
    public = (tmp_path / "state.key.pub").read_text()
    signature = SSHStateSigner.load(tmp_path / "state.key").sign(PAYLOAD)
    assert verify_ssh_signature(PAYLOAD, signature, [public]) == public


def test_git_verifies_a_commit(tmp_path: Path, signer: SSHStateSigner) -> None:
    """A commit with our signature in its header ``gpgsig`` passes ``git verify-commit``; an altered one does not."""
    run("git", "init", "-q", cwd=tmp_path)
    run("git", "config", "gpg.ssh.allowedSignersFile", allowed(tmp_path, signer), cwd=tmp_path)
    tree = run("git", "mktree", cwd=tmp_path).decode().strip()
    who = "UMS <ums@localhost> 1795000000 +0000"
    head, message = f"tree {tree}\nauthor {who}\ncommitter {who}\n", "\nchannels/stable: Promote platform 1.4.2\n"
    header = "gpgsig " + signer.sign((head + message).encode()).rstrip("\n").replace("\n", "\n ") + "\n"
    for text, good in ((message, True), (message.replace("1.4.2", "1.4.3"), False)):
        content = (head + header + text).encode()
        commit = (
            run("git", "hash-object", "-t", "commit", "-w", "--stdin", cwd=tmp_path, stdin=content).decode().strip()
        )
        if good:
            run("git", "verify-commit", commit, cwd=tmp_path)
        else:
            with pytest.raises(AssertionError):
                run("git", "verify-commit", commit, cwd=tmp_path)


def test_a_key_is_for_its_owner_alone(key: Path) -> None:
    """The file has mode 0600, and nothing else lies beside it."""
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert list(key.parent.iterdir()) == [key]


def test_a_key_is_not_overwritten(tmp_path: Path) -> None:
    """What is there stays as it is."""
    path = tmp_path / "state.key"
    path.write_text("precious")
    with pytest.raises(ConflictError, match=r"state\.key exists already"):
        SSHStateSigner.generate(path)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_a_refusing_disk_is_a_storage_error(tmp_path: Path) -> None:
    """A folder that is not there is named."""
    with pytest.raises(StorageError, match="No such file"):
        SSHStateSigner.generate(tmp_path / "absent" / "state.key")


def test_what_was_interrupted_goes_on_with_its_key(tmp_path: Path) -> None:
    """The first call makes the key, the second finds it."""
    first, second = (SSHStateSigner.load_or_generate(tmp_path / "state.key") for _ in range(2))
    assert first.public_key == second.public_key


@pytest.mark.parametrize("content", [None, b"", b"not a key"])
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """What is not there, or not a key, is an input error that names the file."""
    path = tmp_path / "state.key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"state\.key is not a usable state key"):
        SSHStateSigner.load(path)


@pytest.mark.parametrize(("kind", "password"), [("ecdsa", ""), ("ed25519", "secret")])
def test_a_key_of_another_kind_is_refused(tmp_path: Path, kind: str, password: str) -> None:
    """Only an Ed25519 key that opens without a password is a state key."""
    path = tmp_path / "state.key"
    run("ssh-keygen", "-q", "-t", kind, "-N", password, "-f", path, cwd=tmp_path)
    with pytest.raises(InvalidInputError, match=r"state\.key is not"):
        SSHStateSigner.load(path)


@given(st.binary(max_size=300))
def test_the_same_payload_has_the_same_signature(payload: bytes) -> None:
    """Every replica makes the same commit: Ed25519 draws no random numbers."""
    assert SIGNER.sign(payload) == SIGNER.sign(payload)
    assert verify_ssh_signature(payload, SIGNER.sign(payload), [SIGNER.public_key]) == SIGNER.public_key


def test_the_signer_is_found_among_the_keys(tmp_path: Path, signer: SSHStateSigner) -> None:
    """The key that signed is named, wherever it stands; keys that cannot be read are passed over."""
    other = SSHStateSigner.generate(tmp_path / "other.key").public_key
    signature = signer.sign(PAYLOAD)
    commented = f"{signer.public_key} the service"
    keys = ["", "ssh-ed25519 AAAA", "ü", other, commented]
    assert verify_ssh_signature(PAYLOAD, signature, keys) == commented
    assert verify_ssh_signature(PAYLOAD, signature, keys[:-1]) is None
    assert verify_ssh_signature(PAYLOAD + b" ", signature, keys) is None


def string(content: bytes) -> bytes:
    """Return content as SSH writes it."""
    return struct.pack(">I", len(content)) + content


def armor(blob: bytes) -> str:
    """Return a blob as OpenSSH shows it."""
    return f"-----BEGIN SSH SIGNATURE-----\n{base64.b64encode(blob).decode()}\n-----END SSH SIGNATURE-----\n"


def parts(signer: SSHStateSigner) -> dict[str, bytes]:
    """Return the parts of a good signature."""
    blob = base64.b64decode("".join(signer.sign(PAYLOAD).splitlines()[1:-1]))
    names, found, rest = ("key", "namespace", "reserved", "hash", "signature"), {}, blob[10:]
    for name in names:
        (length,) = struct.unpack(">I", rest[:4])
        found[name], rest = rest[4 : 4 + length], rest[4 + length :]
    return {"magic": blob[:6], "version": blob[6:10], **found}


def assemble(found: Mapping[str, bytes]) -> bytes:
    """Return the blob of parts."""
    return found["magic"] + found["version"] + b"".join(string(each) for each in list(found.values())[2:])


@pytest.mark.parametrize(
    "change",
    [
        {"magic": b"SSHSIX"},
        {"version": struct.pack(">I", 2)},
        {"namespace": b"file"},
        {"namespace": b""},
        {"reserved": b"x"},
        {"hash": b"sha256"},
        {"key": b""},
        {"key": string(b"ssh-rsa") + string(bytes(32))},
        {"key": string(b"ssh-ed25519") + string(bytes(31))},
        {"signature": b""},
        {"signature": string(b"ssh-rsa") + string(bytes(64))},
        {"signature": string(b"ssh-ed25519") + string(bytes(64))},
        {"signature": string(b"ssh-ed25519") + string(bytes(63))},
        {"signature": string(b"ssh-ed25519") + string(bytes(64)) + b"more"},
        {"signature": struct.pack(">I", 1 << 31)},
    ],
)
def test_a_signature_for_another_purpose_is_by_nobody(signer: SSHStateSigner, change: dict[str, bytes]) -> None:
    """Another namespace, hash, version or kind of key is not what signs commits."""
    found = parts(signer)
    assert verify_ssh_signature(PAYLOAD, armor(assemble(found)), [signer.public_key]) == signer.public_key
    assert verify_ssh_signature(PAYLOAD, armor(assemble({**found, **change})), [signer.public_key]) is None


def test_a_true_signature_in_another_namespace_is_by_nobody(tmp_path: Path, key: Path, signer: SSHStateSigner) -> None:
    """What the state key signs as a file is no commit."""
    made = run("ssh-keygen", "-Y", "sign", "-n", "file", "-f", key, cwd=tmp_path, stdin=PAYLOAD).decode()
    assert verify_ssh_signature(PAYLOAD, made, [signer.public_key]) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-----BEGIN SSH SIGNATURE-----",
        "-----BEGIN SSH SIGNATURE----------END SSH SIGNATURE-----",
        "-----BEGIN PGP SIGNATURE-----\nAAAA\n-----END PGP SIGNATURE-----",
        "-----BEGIN SSH SIGNATURE-----\nAAA\n-----END SSH SIGNATURE-----",
        "-----BEGIN SSH SIGNATURE-----\nü\n-----END SSH SIGNATURE-----",
        armor(b"SSHSIG"),
        armor(b"SSHSIG" + struct.pack(">I", 1) + bytes(3)),
        armor(bytes(5000)),
    ],
)
def test_what_is_no_signature_is_by_nobody(signer: SSHStateSigner, text: str) -> None:
    """Nonsense gives no signer, and no exception."""
    assert verify_ssh_signature(PAYLOAD, text, [signer.public_key]) is None


def test_something_after_the_signature_is_refused(signer: SSHStateSigner) -> None:
    """Nothing may follow the last part."""
    assert verify_ssh_signature(PAYLOAD, armor(assemble(parts(signer)) + b"\0"), [signer.public_key]) is None


def test_base64_has_one_form(signer: SSHStateSigner) -> None:
    """Left-over bits in the last character must be zero, so that a signature cannot be varied."""
    text = signer.sign(PAYLOAD)
    position = text.rindex("=\n") - 1
    varied = text[:position] + chr(ord(text[position]) + 1) + text[position + 1 :]
    assert base64.b64decode("".join(varied.splitlines()[1:-1])) == assemble(parts(signer))
    assert verify_ssh_signature(PAYLOAD, varied, [signer.public_key]) is None


def test_every_truncation_is_by_nobody(signer: SSHStateSigner) -> None:
    """A signature cut short anywhere gives no signer, and no exception."""
    blob, text = assemble(parts(signer)), signer.sign(PAYLOAD).rstrip()
    shorter = [armor(blob[:length]) for length in range(len(blob))] + [text[:length] for length in range(len(text))]
    assert {verify_ssh_signature(PAYLOAD, each, [signer.public_key]) for each in shorter} == {None}


@given(st.data())
def test_no_flipped_bit_verifies(data: st.DataObject) -> None:
    """Whatever bit of the signature is flipped, it is by nobody."""
    blob = bytearray(assemble(parts(SIGNER)))
    position = data.draw(st.integers(0, len(blob) * 8 - 1))
    blob[position // 8] ^= 1 << position % 8
    assert verify_ssh_signature(PAYLOAD, armor(bytes(blob)), [SIGNER.public_key]) is None


FIELD = 2**255 - 19
ORDER_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
IDENTITY = b"\1" + bytes(31)


def test_anybody_signs_for_the_neutral_point() -> None:
    """So a key must not be it: one signature fits every message."""
    for message in (b"a", b"b"):
        Ed25519PublicKey.from_public_bytes(IDENTITY).verify(IDENTITY + bytes(32), message)


@pytest.mark.parametrize("sign", [0, 0x80], ids=["even", "odd"])
@pytest.mark.parametrize(
    "raw",
    [
        IDENTITY,
        bytes(32),
        (FIELD - 1).to_bytes(32, "little"),
        FIELD.to_bytes(32, "little"),
        (FIELD + 1).to_bytes(32, "little"),
        bytes.fromhex(ORDER_8),
        (FIELD - int.from_bytes(bytes.fromhex(ORDER_8), "little")).to_bytes(32, "little"),
        b"\xff" * 31 + b"\x7f",
    ],
    ids=["1", "0", "p-1", "p", "p+1", "order 8", "order 8 too", "not reduced"],
)
def test_a_weak_key_is_none(raw: bytes, sign: int) -> None:
    """Points of small order, and those that are not in their one form."""
    point = raw[:31] + bytes([raw[31] | sign])
    blob = b"".join(struct.pack(">I", len(each)) + each for each in (b"ssh-ed25519", point))
    with pytest.raises(InvalidInputError, match="is not a public state key"):
        check_state_key(f"ssh-ed25519 {base64.b64encode(blob).decode()}")


def test_a_key_of_ours_is_strong(signer: SSHStateSigner) -> None:
    """Any that is made by chance."""
    check_state_key(signer.public_key)

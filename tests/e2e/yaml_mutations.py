"""Folders of manifests and renderings of charts, changed at random where readers of YAML are known to differ.

All of it follows from a seed: ``folder(7)`` is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

DIGEST = "sha256:" + "a" * 64
GOOD, BAD = f"registry.example.com/app:1@{DIGEST}", "registry.example.com/other:latest"

_DOCUMENTS = [
    f"""apiVersion: apps/v1
kind: Deployment
metadata:
  name: NAME
  labels: {{app: "NAME", tier: 'x'}}
spec:
  replicas: 2
  template:
    spec:
      initContainers:
      - {{name: init, image: "{GOOD}"}}
      containers:
      - name: app   # the main one
        image: {GOOD}
        args: ["--on", 'y', "1_000"]
        command:
        - sh
        - -c
        - |
          cat <<EOF
          ---
          image: {BAD}
          EOF
""",
    f"""apiVersion: v1
kind: ConfigMap
metadata: {{name: NAME}}
data:
  text: "first
    second
    third"
  folded: >-
    one
    two

    three
  "on": "yes"
  mode: '0644'
  script: |
    kind: Pod
    image: {BAD}
""",
    f"""apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata: {{name: NAME}}
  spec:
    containers: [{{name: a, image: '{GOOD}'}}]
    volumes: [{{name: v, image: {{reference: '{GOOD}'}}}}]
""",
    f"""apiVersion: batch/v1
kind: CronJob
metadata:
  name: NAME
  annotations: &shared
    example.com/a: "1"
spec:
  schedule: "*/5 * * * *"
  jobTemplate:
    metadata:
      annotations: *shared
    spec:
      template:
        spec:
          defaultMode: 0644
          containers:
          - image: >-
              {GOOD}
            name: job
            weight: 1.50
""",
]
_LINES = [
    "---",
    "--- # note",
    "---# note",
    f"---# image: {BAD}",
    "---x: 1",
    "----",
    "...",
    "... # end",
    "%YAML 1.1",
    "%TAG ! tag:x,2000:",
    "# comment",
    "\t# tab",
    "\tx: 1",
    "? key",
    ": value",
    "? [a, b]",
    "<<: *shared",
    '"<<": *shared',
    "<<: {k: 1, name: 2}",
    "x: *shared",
    "x: &shared 1",
    "&k x: 1",
    f"image: {BAD}",
    f"'image': {BAD}",
    f'"\\x69mage": {BAD}',
    f"!!str image: {BAD}",
    f"image: !!str {BAD}",
    "image: !!binary cmVnaXN0cnkuZXhhbXBsZS5jb20vb3RoZXI6bGF0ZXN0",
    f"Image: {BAD}",
    "name: [",
    "- item",
    "-",
    "'",
    '"',
    "'text",
    "text'",
    f"|\n{BAD}",
    "x: |+\n  kept\n\n",
    "x: |2\n   indented",
    "x: >\n  a\n\n  b",
    "x: # nothing",
    "x:#y",
    "x: a#b",
    "x: 'it''s'",
    'x: "\\u2028\\x85\\U0001F600\\/\\e\\_"',
    "x: {a, b: , c}",
    "x: [a: 1, {b: 2}, ]",
    "y: 1",
    "1: 1",
    "1.0: 1",
    "null: 1",
    "~: 1",
    "true: 1",
    "0x1: 1",
]
_SCALARS = [
    *("yes", "no", "on", "off", "y", "n", "True", "TRUE", "tRUE", "~", "null", "Null", "''", '""', "", "=", "-", "<<"),
    *("0", "-0", "+1", "0644", "0o644", "0x1F", "0b11", "08", "1_000", "_1", "1__0", "1e3", "1E+3", "1.", ".5", "-.5"),
    *(".inf", "-.Inf", ".nan", "1e400", "22:22", "1:30.5", "2026-12-01", "2026-12-01T06:00:00Z", "2026-1-1 1:1:1"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", "1" * 40, "1.2.3", "0.1e-5", "1d", "0x"),
    *("!!int 5", "!!str 5", "!x 5", "! 5", "!!float 1", "!!null x", "!!binary aW1hZ2U=", "&a 1", "*shared", "@x", "`x"),
    *(
        BAD,
        f"'{BAD}'",
        f'"{BAD}"',
        f"!!str {BAD}",
        f"&i {BAD}",
        f"{BAD} # {GOOD}",
        f"{GOOD}#x",
        "a: b",
        "%x",
        ">-",
        "|",
    ),
    *('"\\x01\\0"', '"\\x7f\\x9f"', '"\\ufeffx"', '"\\u2028 "', '"\\r\\n"', '"\\t\\b\\f"', '"\\x85"', '"\\uffff"'),
    *('"a\\\n  b"', '"\\x61"', '"\\ud83d\\ude00"', '"\\N\\L\\P"', "a\n      b", "'a\n\n      b'", "\ttab", "x\t# y"),
]
_CHARACTERS = "-:#&*!|>%@`\"'{}[],? \t\n\r\u2028\u2029\x85\ufeff\x00\x7f0yn=<~._\\\U0001f600ä"
_NAMES = [
    *("b.yaml", "sub/c.yml", ".hidden.yaml", "-dash.yaml", "a b.yaml", "ä.yaml", "UPPER.YAML", "notes.json", "x.txt"),
    *("back\\slash.yaml", "sub\\d.yaml", "con.yaml", "A.yaml", "kustomization.yaml", "sub/kustomization.yml"),
    *("Kustomization", ".sourceignore", ".yaml", "x.yaml.yml", "co:lon.yaml", "star*.yaml", "line\nbreak.yaml"),
]
_KUSTOMIZE = f"images: [{{name: registry.example.com/app, newName: {BAD}}}]\nresources: [a.yaml]\n"


def folder(seed: int) -> dict[str, bytes]:
    """Return the files of a folder, by path."""
    random = Random(seed)  # noqa: S311 - to be repeated
    files = {"a.yaml": _encoded(random, _changed(random, _stream(random, "a")))}
    while random.random() < 0.3:
        name = random.choice(_NAMES)
        special = name.rsplit("/", 1)[-1].lower().startswith("kustomization")
        text = _KUSTOMIZE if special else "*\n" if name == ".sourceignore" else _stream(random, f"n{len(files)}")
        files[name] = _encoded(random, text if random.random() < 0.7 else _changed(random, text))
    return files


def rendering(seed: int) -> bytes:
    """Return text as ``helm template`` writes it."""
    random = Random(seed)  # noqa: S311 - to be repeated
    documents = "".join(
        f"---\n# Source: app/templates/{number}.yaml\n{_document(random, f'r{number}')}"
        for number in range(random.randint(1, 3))
    )
    return _changed(random, documents).encode(errors="surrogatepass")


def _document(random: Random, name: str) -> str:
    return random.choice(_DOCUMENTS).replace("NAME", name)


def _stream(random: Random, name: str) -> str:
    return "---\n".join(_document(random, f"{name}{number}") for number in range(random.randint(1, 3)))


def _changed(random: Random, text: str) -> str:
    for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
        text = random.choice(_CHANGES)(random, text)
    return text


def _insert_line(random: Random, text: str) -> str:
    lines = text.split("\n")
    place = random.randrange(len(lines))
    indent = random.choice(("", " " * (len(lines[place]) - len(lines[place].lstrip()))))
    lines.insert(place, indent + random.choice(_LINES))
    return "\n".join(lines)


def _change_scalar(random: Random, text: str) -> str:
    lines = text.split("\n")
    places = [number for number, line in enumerate(lines) if ": " in line]
    place = random.choice(places or [0])
    key = lines[place].partition(": ")[0]
    lines[place] = f"{key}: {random.choice(_SCALARS)}"
    return "\n".join(lines)


def _repeat_line(random: Random, text: str) -> str:
    lines = text.split("\n")
    place = random.randrange(len(lines))
    lines.insert(random.choice((place, random.randrange(len(lines)))), lines[place])
    return "\n".join(lines)


def _drop_line(random: Random, text: str) -> str:
    lines = text.split("\n")
    del lines[random.randrange(len(lines))]
    return "\n".join(lines)


def _indent_line(random: Random, text: str) -> str:
    lines = text.split("\n")
    place = random.randrange(len(lines))
    lines[place] = lines[place].strip() if random.random() < 0.5 else random.choice((" ", "  ", "\t")) + lines[place]
    return "\n".join(lines)


def _change_character(random: Random, text: str) -> str:
    place, new = random.randrange(len(text) + 1), random.choice(("", random.choice(_CHARACTERS)))
    return text[:place] + new + text[place + random.choice((0, 1)) :]


def _change_line_ends(random: Random, text: str) -> str:
    return text.replace("\n", random.choice(("\r\n", "\r", "\n\n", "\x85", "\u2028")), random.choice((1, 3, -1)))


_CHANGES: list[Callable[[Random, str], str]] = [
    *[_insert_line] * 4,
    *[_change_scalar] * 4,
    _repeat_line,
    _drop_line,
    _indent_line,
    _change_character,
    _change_character,
    _change_line_ends,
]


def _encoded(random: Random, text: str) -> bytes:
    choice = random.random()
    if choice < 0.01:
        return text.encode("utf-16", errors="surrogatepass")
    return (b"\xef\xbb\xbf" if choice < 0.02 else b"") + text.encode(errors="surrogatepass")

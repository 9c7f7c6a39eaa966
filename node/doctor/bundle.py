"""One file to give to somebody who looks for a fault: a folder of texts in a tar.gz, with a list of what is in it.

Nothing gets in that was not redacted, and before it is written all of it is searched once more for known secrets: if
one is found, nothing is written at all.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.doctor.errors import OutTaken, OutUnwritable, SecretLeft
from node.doctor.redacting import Redactor

FOLDER: Final = "lamella-diagnostics"
CONTENTS: Final = "CONTENTS.txt"
LEFT_OUT: Final = (
    "the identity's private key",
    "prompts, answers and tokens of sessions",
    "tokens, passwords and keys, of hubs too",
    "your name, your home's name (~ instead) and this machine's name",
    "ids of peers but for a short form, and all but the beginning of their IP addresses",
    "weights",
)
MOST_MEMBER_BYTES: Final = 1 << 20
"""Of one text; a log's end, and no more, is wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One text of the bundle."""

    name: str
    """Of its file."""
    about: str
    """What it is, for the list."""
    value: Any
    """Text, or types of JSON; as it was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """What would have been in it."""

    name: str
    why: str


def members(parts: list[Part], absent: list[Absent], redactor: Redactor) -> dict[str, str]:
    """The texts of a bundle by their names, redacted, the list of contents first."""
    texts: dict[str, str] = {}
    for one in parts:
        if isinstance(one.value, str):
            texts[one.name] = "".join(f"{redactor.line(line)}\n" for line in one.value.splitlines())
        else:
            texts[one.name] = json.dumps(redactor.value(one.value), indent=1, ensure_ascii=False) + "\n"
        texts[one.name] = texts[one.name][-MOST_MEMBER_BYTES:]
    contents = ["What is in this file:", ""]
    contents += [f"  {one.name}: {one.about}" for one in parts]
    if absent:
        contents += ["", "What could not be had:", ""]
        contents += [f"  {one.name}: {redactor.text(one.why)}" for one in absent]
    contents += ["", "What was left out, or taken out of the texts:", ""]
    contents += [f"  {one}" for one in LEFT_OUT]
    return {CONTENTS: "\n".join(contents) + "\n", **texts}


def write(path: Path, texts: Mapping[str, str], redactor: Redactor) -> int:
    """Write a bundle for this user alone; returns its bytes.

    Raises:
        SecretLeft: a known secret is in it; nothing was written.
        OutTaken: the file is there already.
        OutUnwritable: the disk does not take it; nothing is left.
    """
    for name, text in texts.items():
        if redactor.leaks(name) or redactor.leaks(text):
            raise SecretLeft(
                f"a secret was still in {name}, so nothing was written",
                "report that, without the text, as SECURITY.md says",
            )
    data = _packed(texts)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError as error:
        raise OutTaken(f"{path} is there already", "name another file with --out") from error
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise _unwritable(path, error) from error
    return len(data)


def _packed(texts: Mapping[str, str]) -> bytes:
    out = io.BytesIO()
    # Neither the packer's user nor its file name, which gzip and tar would put in by themselves.
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0) as pressed,
        tarfile.open(fileobj=pressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, text in texts.items():
            data = text.encode(errors="replace")
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            entry.size, entry.mode = len(data), 0o600
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def _unwritable(path: Path, error: OSError) -> OutUnwritable:
    return OutUnwritable(
        f"{path} cannot be written ({error.strerror or error})", "name a file in another folder with --out"
    )

"""Make and sign the list of peers that programs of a network begin with (`specs/discovery.md` §Bootstrap lists).

Once: `python -m scripts.sign_bootstrap --new-key ~/bootstrap.key`, which prints the public key to pin in
`node/discovery/bootstrap.py` or to give as `--bootstrap-key`. The key file belongs on one machine and into no
repository. Then, before each expiry:

    python -m scripts.sign_bootstrap --key ~/bootstrap.key --days 90 --out bootstrap.list \
        PEERID@192.0.2.7:7311 PEERID@[2001:db8::7]:7311
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from pathlib import Path

from crypto.errors import CryptoError
from crypto.identity import SEED_BYTES, Identity
from wire import limits
from wire.bootstrap_list import DAY_S, BootstrapList
from wire.contacts import Contact
from wire.errors import WireError
from wire.types import DEFAULT_NETWORK


def make_key(path: Path, seed: bytes) -> Identity:
    """Write a new key file that only this user can read. Raises `OSError`, also when the file exists."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(seed.hex() + "\n")
    return Identity.from_seed(seed)


def read_key(path: Path) -> Identity:
    """Read a key file. Raises `OSError`; `ValueError` when it holds no key or others may read it."""
    if path.stat().st_mode & 0o077:
        raise ValueError(f"{path} can be read by others; run chmod 600 {path}")
    text = path.read_text(encoding="ascii").strip()
    if len(text) != 2 * SEED_BYTES:
        raise ValueError(f"{path} holds no key; make one with --new-key")
    return Identity.from_seed(bytes.fromhex(text))


def main(arguments: list[str], now: float | None = None) -> int:
    """Make a key or sign a list; return the exit status. `now` is Unix time in seconds."""
    parser = argparse.ArgumentParser(description="Sign a list of peers to begin with.")
    parser.add_argument("contacts", nargs="*", metavar="PEERID@IP:PORT", help="best ones first")
    parser.add_argument("--new-key", type=Path, metavar="FILE", help="make a key file, print its public key")
    parser.add_argument("--key", type=Path, metavar="FILE", help="the key file to sign with")
    parser.add_argument("--network", default=DEFAULT_NETWORK)
    parser.add_argument("--days", type=int, default=90, help=f"1 to {limits.MAX_BOOTSTRAP_DAYS} (default 90)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write the list")
    options = parser.parse_args(arguments)
    if (options.new_key is None) == (options.key is None) or (options.key and not options.out):
        parser.error("give --new-key FILE, or --key FILE with --out FILE and contacts")
    try:
        if options.new_key is not None:
            print(make_key(options.new_key, secrets.token_bytes(SEED_BYTES)).public_key.hex())
            return 0
        signer = read_key(options.key)
        issued = int(time.time() if now is None else now)
        listed = BootstrapList(
            network=options.network,
            issued=issued,
            expires=issued + options.days * DAY_S,
            contacts=tuple(Contact.parse(one) for one in options.contacts),
        )
        data = listed.sign(signer)
        BootstrapList.read(data, signer.public_key)
        options.out.write_bytes(data)
    except (OSError, ValueError, WireError, CryptoError) as error:
        print(f"sign_bootstrap: {error}", file=sys.stderr)
        return 1
    print(f"{options.out}: {len(listed.contacts)} contacts, {len(data)} bytes, by {signer.public_key.hex()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

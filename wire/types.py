"""The small values every part of the protocol speaks of: ids, layer ranges, addresses, sampling parameters.

Each is a validating class, never a bare string or a pair of integers, so that a value that exists is a value
that is in bounds. Spec: `specs/wire.md` §Types.
"""

from __future__ import annotations

import base64
import ipaddress
import math
import re
from dataclasses import dataclass
from typing import Final

from crypto.errors import CryptoError
from crypto.identity import PeerId
from wire import limits
from wire.errors import InvalidValue

_CID_PREFIX = bytes((0x01, 0x55, 0x12, 0x20))
"""CIDv1, raw codec, sha2-256, 32 bytes (multiformats CID specification)."""
_MAX_DIGITS = 8
_BYTE: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_USUAL_V4: Final = re.compile(rf"{_BYTE}(?:\.{_BYTE}){{3}}")
"""An IPv4 address as the library prints it."""


DEFAULT_NETWORK: Final = "main"
"""The swarm that everybody may join."""


@dataclass(frozen=True, slots=True)
class ModelId:
    """The SHA-256 of a model's canonical manifest; printed as a CIDv1 (raw, sha2-256, base32)."""

    digest: bytes

    def __post_init__(self) -> None:
        if len(self.digest) != limits.DIGEST_BYTES:
            raise InvalidValue(f"a model id is {limits.DIGEST_BYTES} bytes, got {len(self.digest)}")

    @classmethod
    def parse(cls, text: str) -> ModelId:
        """Read a CIDv1 string. Raises `InvalidValue` for any other form of CID."""
        try:
            raw = base64.b32decode(text[1:].upper() + "=" * (-len(text[1:]) % 8))
        except ValueError as error:
            raise InvalidValue(f"{text!r} is not a base32 model id") from error
        if not text.startswith("b") or raw[:4] != _CID_PREFIX or len(raw) != 36 or str(cls(raw[4:])) != text:
            raise InvalidValue(f"{text!r} is not a model id (CIDv1, raw, sha2-256, base32)")
        return cls(raw[4:])

    def __str__(self) -> str:
        return "b" + base64.b32encode(_CID_PREFIX + self.digest).decode().rstrip("=").lower()

    @property
    def short(self) -> str:
        """The last eight characters: CIDs share their beginning, so the end is what tells two apart."""
        return str(self)[-8:]


@dataclass(frozen=True, slots=True)
class SessionId:
    """128 random bits the client draws; names one conversation's KV state on every hop."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != limits.SESSION_ID_BYTES:
            raise InvalidValue(f"a session id is {limits.SESSION_ID_BYTES} bytes, got {len(self.raw)}")

    def __str__(self) -> str:
        return self.raw.hex()[:12]


@dataclass(frozen=True, slots=True, order=True)
class LayerRange:
    """Layers `[start, end)` of a model, counted from zero; may be empty (`start == end`)."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end <= limits.MAX_LAYERS:
            raise InvalidValue(f"layers {self.start}:{self.end} are not a range within 0:{limits.MAX_LAYERS}")

    @classmethod
    def parse(cls, text: str) -> LayerRange:
        """Read `6:12`. Raises `InvalidValue` with the expected form."""
        start, separator, end = text.partition(":")
        if not (separator and _is_number(start) and _is_number(end)):
            raise InvalidValue(f"{text!r} is not a layer range; write START:END, as in 6:12")
        return cls(int(start), int(end))

    def __str__(self) -> str:
        return f"{self.start}:{self.end}"

    def __len__(self) -> int:
        return self.end - self.start

    def __bool__(self) -> bool:
        """A range is a value, present even when it is empty."""
        return True

    def __contains__(self, layer: int) -> bool:
        return self.start <= layer < self.end

    def parted_at(self, boundary: int) -> bool:
        """Whether a cut before layer `boundary` leaves layers of this range on both sides."""
        return self.start < boundary < self.end

    def covers(self, other: LayerRange) -> bool:
        """Whether every layer of `other` is in this range."""
        return self.start <= other.start and other.end <= self.end


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """An IP address and a TCP port; never a host name, so that a peer cannot make us resolve one."""

    ip: str
    port: int

    def __post_init__(self) -> None:
        _one_spelling(self.ip)
        if not 0 <= self.port <= 65535:
            raise InvalidValue(f"port {self.port} is not between 0 and 65535")

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `127.0.0.1:7311` or `[::1]:7311`; however it is spelt, it is one value. Raises `InvalidValue`."""
        ip, separator, port = text.rpartition(":")
        if not (separator and _is_number(port)):
            raise InvalidValue(
                f"{text!r} is not an address; write IP:PORT, as in 127.0.0.1:7311 or [::1]:7311"
            )
        if ip.startswith("[") and ip.endswith("]"):
            ip = ip[1:-1]
        elif ":" in ip:
            raise InvalidValue(f"{text!r} needs brackets around its IPv6 address, as in [::1]:7311")
        return cls(_one_spelling(ip), int(port))

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


@dataclass(frozen=True, slots=True, order=True)
class Relayed:
    """Where a peer is reached that cannot be dialled: the relay that carries links to it, and the relay's address."""

    relay: PeerId
    address: Address

    @classmethod
    def parse(cls, text: str) -> Relayed:
        """Read what `str` prints, `127.0.0.1:7311/via/PEERID`. Raises `InvalidValue`."""
        address, separator, relay = text.partition("/via/")
        if not separator:
            raise InvalidValue(f"{text!r} is not a relayed address; write IP:PORT/via/PEERID")
        try:
            return cls(PeerId.parse(relay), Address.parse(address))
        except CryptoError as error:
            raise InvalidValue(str(error)) from error

    def __str__(self) -> str:
        return f"{self.address}/via/{self.relay}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the tail draws a token from its logits (`specs/sampling.md`).

    The draw is a pure function of (logits, these parameters, position), so any tail repeats it.
    """

    temperature: float = 0.0
    """0 takes the highest logit; the lowest token id wins a tie."""
    top_k: int = 0
    """Keep the k highest logits; 0 keeps all."""
    top_p: float = 1.0
    """Keep the smallest set of highest tokens whose probability reaches this; 1 keeps all."""
    min_p: float = 0.0
    """Drop tokens less likely than this times the likeliest; 0 drops none."""
    seed: int = 0
    """64-bit seed of the noise."""

    def __post_init__(self) -> None:
        for name, low, high in (("temperature", 0.0, 100.0), ("top_p", 0.0, 1.0), ("min_p", 0.0, 1.0)):
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise InvalidValue(f"{name} {value} is not between {low:g} and {high:g}")
        if not 0 <= self.top_k <= limits.MAX_VOCABULARY:
            raise InvalidValue(f"top_k {self.top_k} is not between 0 and {limits.MAX_VOCABULARY}")
        if not 0 <= self.seed < 1 << 64:
            raise InvalidValue(f"seed {self.seed} is not an unsigned 64-bit integer")


def _one_spelling(ip: str) -> str:
    """The usual spelling of an IP address. Raises `InvalidValue`."""
    if _USUAL_V4.fullmatch(ip):
        # Datagrams come from new addresses at any rate; the library takes twenty times as long.
        return ip
    try:
        usual = str(ipaddress.ip_address(ip))
    except ValueError as error:
        raise InvalidValue(f"{ip!r} is not an IP address") from error
    # The library takes any text as the scope behind a %, line breaks included.
    if not all(one.isascii() and (one.isalnum() or one in ":.%_-") for one in usual):
        raise InvalidValue(f"{ip!r} is not an IP address")
    return usual


def _is_number(text: str) -> bool:
    """Whether `text` is decimal digits, and few enough that reading them costs nothing."""
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS

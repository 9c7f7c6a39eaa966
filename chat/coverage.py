"""What the hosts of a model cover together: which layers, how often, where gaps are. Pure; records in, figures out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from crypto.identity import PeerId
from wire.messages.hosting import Offer
from wire.records import IndexRecord, SliceRecord
from wire.tensors import numerics
from wire.types import LayerRange, ModelId, Relayed


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """One slice that a host announces, or speaks of; its own words."""

    peer: PeerId
    addresses: tuple[str, ...]
    layers: LayerRange
    head: bool
    numerics: str
    sessions: int
    step_ms: float | None
    """Of one token through the whole slice; None where it was not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a host said itself, over a link."""

    peer: PeerId
    addresses: tuple[str, ...]
    offers: tuple[Offer, ...]
    """Nothing of one that takes no new sessions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelView:
    """One model and who announces what of it."""

    model: ModelId
    name: str
    """What most hosts call it."""
    num_layers: int
    hosts: tuple[HostView, ...]
    gaps: tuple[LayerRange, ...]
    """Layers that nobody announces."""
    heads: int
    """Hosts of the final norm and the head."""
    least: int
    """Hosts of the layer that fewest have, of those that are announced at all."""

    @property
    def front_layers(self) -> int:
        """The first layers that nobody announces, since clients are to keep them."""
        return self.gaps[0].end if self.gaps and self.gaps[0].start == 0 else 0

    @property
    def is_whole(self) -> bool:
        """Whether the hosts have everything that a client who keeps `front_layers` needs."""
        missing = [gap for gap in self.gaps if gap.start > 0]
        return bool(self.hosts) and not missing and self.heads > 0

    @property
    def peers(self) -> int:
        """Hosts, each once."""
        return len({one.peer for one in self.hosts})

    @property
    def sessions(self) -> int:
        """Open sessions of all slices together."""
        return sum(one.sessions for one in self.hosts)

    @property
    def numerics(self) -> tuple[str, ...]:
        """What its hosts compute in; a route keeps to one."""
        return tuple(sorted({one.numerics for one in self.hosts}))


def view(
    model: ModelId,
    index: Sequence[IndexRecord],
    records: Sequence[SliceRecord],
    answers: Sequence[Answer] = (),
) -> ModelView:
    """Put together what was found of a model.

    Args:
        index: records that name it; they may contradict each other.
        records: its slices; those that disagree with most on how many layers it has are left out.
        answers: what hosts said themselves; they are newer than these hosts' records, and take their place.
    """
    spoke = {one.peer for one in answers}
    offers = [(one, offer) for one in answers for offer in one.offers if offer.model == model]
    told = [one for one in records if one.peer not in spoke]
    counts = [offer.num_layers for _, offer in offers] + [one.num_layers for one in told]
    counts = counts or [one.num_layers for one in index]
    num_layers = max(sorted(set(counts)), key=counts.count, default=0)
    names = [one.name for one in index if one.peer not in spoke] + [offer.name for _, offer in offers]
    views = [_of_record(one) for one in told if one.num_layers == num_layers]
    views += [_of_offer(one, offer) for one, offer in offers if offer.num_layers == num_layers]
    slices = {(one.peer, one.layers, one.head): one for one in views}
    hosts = tuple(sorted(slices.values(), key=lambda one: (one.layers.start, one.layers.end, str(one.peer))))
    held = [len({one.peer for one in hosts if layer in one.layers}) for layer in range(num_layers)]
    return ModelView(
        model=model,
        name=max(sorted(set(names)), key=names.count, default=""),
        num_layers=num_layers,
        hosts=hosts,
        gaps=tuple(_gaps(held)),
        heads=len({one.peer for one in hosts if one.head}),
        least=min((count for count in held if count), default=0),
    )


def bar(found: ModelView, width: int) -> str:
    """The layers as one character each, or several layers a character: how many hosts the least of them has."""
    held = [
        len({one.peer for one in found.hosts if layer in one.layers}) for layer in range(found.num_layers)
    ]
    if not held:
        return ""
    cells = min(width, len(held))
    edges = [index * len(held) // cells for index in range(cells + 1)]
    least = [min(held[start:end]) for start, end in pairwise(edges)]
    return "".join("." if count == 0 else str(count) if count < 10 else "+" for count in least)


def _of_record(record: SliceRecord) -> HostView:
    relays = [str(Relayed(one.peer, one.address)) for one in record.relays]
    return HostView(
        peer=record.peer,
        addresses=(*map(str, record.addresses), *relays),
        layers=record.layers,
        head=record.head,
        numerics=numerics(record.dtype, record.weights),
        sessions=record.sessions,
        step_ms=record.step_us / 1000 if record.step_us else None,
    )


def _of_offer(answer: Answer, offer: Offer) -> HostView:
    return HostView(
        peer=answer.peer,
        addresses=answer.addresses,
        layers=offer.layers,
        head=offer.head,
        numerics=numerics(offer.dtype, offer.weights),
        sessions=offer.sessions,
        step_ms=offer.step_us / 1000 if offer.step_us else None,
    )


def _gaps(held: Sequence[int]) -> list[LayerRange]:
    gaps: list[LayerRange] = []
    start: int | None = None
    for layer, count in enumerate([*held, 1]):
        if count == 0 and start is None:
            start = layer
        elif count and start is not None:
            gaps.append(LayerRange(start, layer))
            start = None
    return gaps

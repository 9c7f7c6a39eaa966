"""Joins links, slices, tokenizer and session into a `Driver`. The whole wiring of a client is on this screen."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from chat.chain import Chain, ChainSpec
from chat.conversation import Conversation
from chat.driver import ClientOptions
from chat.errors import ChatError, HostUnreachable, ModelError, NoRoute, TokensNotAllowed, UsageError
from chat.events import Event
from chat.front import Front, first_spec, last_spec
from chat.hosts import Hosts, Reached
from chat.route import Candidate, Need, Route, plan
from chat.session import AnswerOptions, AnswerSession
from chat.swarm import Swarm
from chat.tokenizer import Tokenizer
from crypto.identity import PeerId
from node import keyfile, paths
from node.errors import NodeError
from node.loading import bring, load
from node.manners.pacing import Pacer
from node.model_library import Library, LibraryTerms
from node.slices import beside
from node.slices.compute import ComputeThread
from node.slices.errors import SliceError
from node.slices.facts import ModelFacts, read_facts
from node.slices.spec import SliceSpec
from node.store.peer_source import Asker
from node.stored_model import Model
from node.transport.link import Link
from wire import limits
from wire.codes import Code
from wire.messages.base import Message
from wire.tensors import DType, WeightFormat
from wire.types import LayerRange, ModelId, SessionId

DEFAULT_CONTEXT: Final = 4096
_SEARCHES_S: Final = (0.0, 0.5, 1.0, 1.5, 2.0, 2.0)
"""Pauses between searches for hosts of layers that nobody known has."""
_WIRE_DTYPES: Final = {"float32": DType.FLOAT32, "bfloat16": DType.BFLOAT16, "float16": DType.FLOAT16}


async def connect(options: ClientOptions, *, progress: Callable[[str], None] = lambda _: None) -> Client:
    """Load the client's part of the model, reach the contacts, and return a conversation ready to be asked.

    Args:
        progress: told, in a few words, what is being waited for.

    Raises:
        ChatError: with a sentence for the person.
    """
    client = Client(options)
    try:
        await client.start(progress)
    # Also on cancellation: nobody else knows this client yet.
    except BaseException:
        await client.close()
        raise
    return client


class Client:
    """One conversation with one model over the hosts of its contacts; a `Driver`."""

    def __init__(self, options: ClientOptions) -> None:
        self.model_name = ""
        self._options = options
        self._compute = ComputeThread(options.threads)
        self._swarm: Swarm | None = None
        self._chain: Chain | None = None
        self._library: Library | None = None
        self._loaded: _Loaded | None = None

    @property
    def model_id(self) -> ModelId:
        """The id of the model that answers."""
        return self._ready.model

    @property
    def session(self) -> AnswerSession:
        """The loop of the answers, for measurements."""
        return self._ready.session

    async def start(self, progress: Callable[[str], None]) -> None:
        """Load and connect, both at once. Raises `ChatError`."""
        options = self._options
        self._compute.start()
        try:
            identity = keyfile.load_or_create(options.identity_file or paths.identity_file())
            swarm = self._swarm = Swarm(
                identity, options, on_message=self._on_message, on_closed=self._on_closed
            )
            hosts = swarm.hosts
            await swarm.open()
            asker = Asker(identity=identity, network=options.network)
            pacer = Pacer(download_bytes_per_s=options.download_rate)
            self._library = Library(_terms(options), neighbours=hosts.sharing, asker=asker, pace=pacer)
            progress("reaching hosts and loading the first layers")
            checked = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._reach_somebody(hosts, checked))
                model = await self._library.open(options.model)
                tokenizing = group.create_task(asyncio.to_thread(Tokenizer.load, model.folder))
                facts = await self._compute.run(read_facts, model.folder)
                _check_front(facts, options)
                checked.set()
                hosts.look_for(model.model)
                weights = options.weights or facts.weights
                native = weights is WeightFormat.NATIVE
                dtype = options.dtype or (facts.dtype if native else "bfloat16")
                spec = first_spec(
                    model.folder, front_layers=options.front_layers, dtype=dtype, weights=weights
                )
                if model.is_stored:
                    await self._bring(model, spec, facts, progress)
                front = await load(model, self._compute, lambda: _load_front(spec, options))
            self.model_name = model.title
            self._loaded = _Loaded(
                me=identity.peer_id,
                model=model.model,
                facts=facts,
                dtype=_WIRE_DTYPES[dtype],
                tokenizer=tokenizing.result(),
                conversation=self._begin(tokenizing.result(), facts),
                session=AnswerSession(front=front, compute=self._compute, open_chain=self._open_chain),
                width=front.first.width,
                kv_bytes_per_layer=front.kv_bytes_per_layer(self._positions(facts)),
            )
        except (
            ExceptionGroup
        ) as group_error:  # the task group's: parts fail at once, the person is told of one
            raise _as_chat_error(group_error) from group_error
        except (NodeError, SliceError) as error:
            raise ModelError(str(error)) from error

    async def ask(self, text: str) -> AsyncIterator[Event]:
        """Ask the next question; see `Driver.ask`."""
        ready = self._ready
        positions = self._positions(ready.facts)
        turn = ready.conversation.begin(text)
        answer = AnswerOptions(
            stop_ids=ready.tokenizer.stop_ids,
            max_tokens=self._options.max_tokens,
            positions=positions,
            sampling=self._options.sampling,
        )
        events = ready.session.answer(turn.ids, ready.tokenizer.stream(), answer)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()
            ready.conversation.answered(ready.session.answered)

    async def reset(self) -> None:
        """Forget the conversation, here and at every hop."""
        ready = self._ready
        await ready.session.close()
        ready.conversation = self._begin(ready.tokenizer, ready.facts)

    async def close(self) -> None:
        """End the sessions and links. Safe to call twice."""
        if self._loaded is not None and self._compute.running:
            await self._loaded.session.close()
        if self._swarm is not None:
            await self._swarm.close()
        if self._library is not None:
            await self._library.close()
        await self._compute.stop()

    @property
    def _ready(self) -> _Loaded:
        if self._loaded is None:
            raise RuntimeError("the client was not started")
        return self._loaded

    def _begin(self, tokenizer: Tokenizer, facts: ModelFacts) -> Conversation:
        return Conversation(tokenizer, self._options.system, context=self._positions(facts))

    def _positions(self, facts: ModelFacts) -> int:
        return min(facts.max_positions, self._options.context or DEFAULT_CONTEXT)

    async def _open_chain(self) -> Chain:
        """Ask the hosts what they serve, plan a route over it and open a session on each hop."""
        ready = self._ready
        if self._swarm is None:
            raise RuntimeError("the client was not started")
        need = Need(
            model=ready.model,
            layers=LayerRange(self._options.front_layers, ready.facts.num_layers),
            private_ends=self._options.private_ends,
            dtype=ready.dtype,
            weights=self._options.weights,
            tokens_until=ready.facts.tokens_until,
            joined=ready.facts.joined,
            positions=self._positions(ready.facts),
            kv_bytes_per_layer=ready.kv_bytes_per_layer,
        )
        route = await self._plan(self._swarm.hosts, need)
        spec = ChainSpec(
            route=route,
            me=ready.me,
            hidden_size=ready.width,
            positions=need.positions,
            sampling=self._options.sampling,
        )
        ids = tuple(SessionId(secrets.token_bytes(limits.SESSION_ID_BYTES)) for _ in route.hops)
        self._chain = Chain(spec, self._swarm.pool.links, ids)
        await self._chain.open()
        return self._chain

    async def _plan(self, hosts: Hosts, need: Need) -> Route:
        """Plan over the hosts that are known; where these do not do, over those that can be found.

        Hosts that have just started may still be announcing themselves, so the search is repeated for a while.
        """
        for pause_s in (0.0, *_SEARCHES_S):
            await asyncio.sleep(pause_s)
            try:
                return plan(_candidates(await hosts.reach()), need)
            except (HostUnreachable, NoRoute):
                if not await hosts.find(need.model) and not await hosts.may_find():
                    raise
        return plan(_candidates(await hosts.reach()), need)

    async def _bring(
        self, model: Model, first: SliceSpec, facts: ModelFacts, progress: Callable[[str], None]
    ) -> None:
        """Fetch what this client computes with: embedding, first layers, and the head when it keeps both ends."""
        specs = [first]
        if self._options.private_ends:
            specs.append(last_spec(first, num_layers=facts.num_layers))

        def told(done: int, of: int) -> None:
            progress(f"fetching {model.title}: {done / 1e6:.0f} of {of / 1e6:.0f} MB")

        await bring(model, specs, self._compute, progress=told)

    async def _reach_somebody(self, hosts: Hosts, checked: asyncio.Event) -> None:
        """Reach hosts; a mistake in what was asked for is told before hosts that cannot be reached."""
        try:
            await hosts.reach_somebody()
        except HostUnreachable:
            await checked.wait()
            raise

    def _on_message(self, link: Link, message: Message) -> None:
        if self._chain is not None:
            self._chain.on_message(link.peer_id, message)

    def _on_closed(self, link: Link, code: Code, detail: str) -> None:
        if self._chain is not None:
            self._chain.on_closed(link.peer_id, code, detail)


@dataclass(slots=True, kw_only=True)
class _Loaded:
    """What a started client has."""

    me: PeerId
    model: ModelId
    facts: ModelFacts
    dtype: DType
    tokenizer: Tokenizer
    conversation: Conversation
    session: AnswerSession
    width: int
    """W, of the hidden states that travel."""
    kv_bytes_per_layer: int
    """KV memory of one layer for a whole conversation; 0 when this client has no layer to judge by."""


def _candidates(reached: Sequence[Reached]) -> list[Candidate]:
    return [
        Candidate(
            peer=one.said.peer,
            address=one.said.link.remote,
            ways=one.ways,
            offer=offer,
            link_s=one.said.link.round_trip_s or 0.0,
            draining=one.said.hosting.draining,
        )
        for one in reached
        for offer in one.said.hosting.offers
    ]


def _check_front(facts: ModelFacts, options: ClientOptions) -> None:
    most = facts.num_layers - 1
    if options.front_layers > most:
        raise UsageError(f"this model has {facts.num_layers} layers; keep at most {most} of them here")
    stretch = beside.parted(facts.joined, LayerRange(0, options.front_layers))
    if stretch is not None:
        raise UsageError(f"{beside.words(stretch)}; keep {stretch.start} layers here, or fewer")
    if options.front_layers < facts.tokens_until:
        _check_consent(facts, options)


def _check_consent(facts: ModelFacts, options: ClientOptions) -> None:
    """Raise unless the person allows that hosts are sent the tokens themselves."""
    if not options.allow_tokens:
        raise TokensNotAllowed(
            f"layers of {facts.model_type} need the tokens themselves, so hosts would see the text in plain; "
            "allow it with --allow-tokens, or choose another model"
        )
    if options.private_ends:
        raise UsageError(
            f"layers of {facts.model_type} need the tokens themselves, so no ends can be private; "
            "leave out --private-ends or --allow-tokens"
        )


def _load_front(spec: SliceSpec, options: ClientOptions) -> Front:
    return Front.load(
        spec.checkpoint,
        front_layers=options.front_layers,
        private_ends=options.private_ends,
        dtype=spec.dtype,
        weights=spec.weights,
    )


def _terms(options: ClientOptions) -> LibraryTerms:
    return LibraryTerms(
        root=paths.weights_dir(),
        cache_dir=paths.cache_dir(),
        quota_bytes=options.disk,
        offline=options.offline,
    )


def _as_chat_error(group: ExceptionGroup[Exception]) -> Exception:
    """The one error of a failed start that a person should read."""
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            return _as_chat_error(error)
        if isinstance(error, ChatError):
            return error
        if isinstance(error, NodeError | SliceError):
            return ModelError(str(error))
    return group

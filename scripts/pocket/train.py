"""Trains the pocket model on its corpus: fp32, two processes, Muon for block matrices and AdamW for the rest.

Each process runs one thread on its part of every batch and the gradients are summed: two threads of one process meet
thousands of times a step, which on a machine that does other work too was four times slower. The state is written every
so many steps and taken up again when it is there and of the same run; the batches of a resumed run are the ones an
uninterrupted run would have seen.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, distributed
from torch.nn import functional

from scripts.pocket.corpus import SHARES, Corpus
from scripts.pocket.model import PocketModel, Shape, run_layer
from scripts.pocket.muon import Muon
from scripts.pocket.packing import IGNORED, Packer

BATCH_TOKENS: Final = 3584
SHORT_ROW: Final = 64
MEDIUM_ROW: Final = 256
LONG_ROW: Final = 512
REPORT_EVERY: Final = 20
STATE: Final = "state.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that decides the outcome of a run, besides the text and the model's shape."""

    seed: int
    cycles: tuple[int, ...]
    """Steps of each cycle: the learning rates rise at its begin and fall to nothing at its end."""
    muon_rate: float = 0.02
    adam_rate: float = 2e-3
    warmup_steps: int = 20
    decay_share: float = 0.4
    """The last part of a cycle, over which the learning rates fall linearly to nothing."""

    @property
    def steps(self) -> int:
        """All steps of the run."""
        return sum(self.cycles)

    def cycle_of(self, step: int) -> tuple[int, int, int]:
        """Return the cycle that `step` is in: its index, its first step, and how many steps it has."""
        begin = 0
        for index, steps in enumerate(self.cycles):
            if step < begin + steps:
                return index, begin, steps
            begin += steps
        raise IndexError(step)

    def continues(self, earlier: Recipe) -> bool:
        """Return whether this run is the `earlier` one, or that one with further cycles after it."""
        return (
            self.cycles[: len(earlier.cycles)] == earlier.cycles
            and replace(earlier, cycles=self.cycles) == self
        )

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Return the recipe that was written as JSON."""
        values = json.loads(text)
        return cls(**(values | {"cycles": tuple(values["cycles"])}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A model and what it took."""

    model: PocketModel
    wall_s: float
    tokens: int
    loss: float


def row_length(step: int, recipe: Recipe) -> int:
    """Return the length of the rows of `step`: short at first, longer now and then from a third of a cycle on."""
    if step < recipe.cycles[0] // 3 or step % 4:
        return SHORT_ROW
    return LONG_ROW if step % 16 == 0 else MEDIUM_ROW


def rate_factor(step: int, recipe: Recipe) -> float:
    """Return the part of the full learning rates that `step` uses."""
    _, begin, steps = recipe.cycle_of(step)
    return min(
        1.0, (step - begin + 1) / recipe.warmup_steps, (begin + steps - step) / (steps * recipe.decay_share)
    )


def train(recipe: Recipe, tokenizer: Tokenizer, folder: Path, *, workers: int, save_every: int) -> Trained:
    """Return the model trained as `recipe` says; progress is printed, the state is kept in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    rendezvous = folder / "rendezvous"
    rendezvous.unlink(missing_ok=True)
    torch.multiprocessing.spawn(  # type: ignore[attr-defined, no-untyped-call]  # torch has no stubs for it
        _work, (workers, recipe, tokenizer.to_str(), folder, save_every), nprocs=workers
    )
    rendezvous.unlink(missing_ok=True)
    state = _State(recipe, tokenizer.get_vocab_size())
    progress = state.take_up(folder)
    return Trained(model=state.model, tokens=progress.tokens, wall_s=progress.spent_s, loss=progress.loss)


def _work(
    rank: int, workers: int, recipe: Recipe, tokenizer_text: str, folder: Path, save_every: int
) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder / 'rendezvous'}", rank=rank, world_size=workers)
    tokenizer = Tokenizer.from_str(tokenizer_text)
    state = _State(recipe, tokenizer.get_vocab_size())
    progress = state.take_up(folder)
    corpus = Corpus(recipe.seed)
    packer = Packer(corpus, tokenizer)
    first, spent_before_s, begin, losses = progress.step, progress.spent_s, time.monotonic(), [0.0]
    for step in range(recipe.steps):
        corpus.shares = SHARES[min(recipe.cycle_of(step)[0], len(SHARES) - 1)]
        length = row_length(step, recipe)
        ids, targets = packer.batch(BATCH_TOKENS // length, length)
        if step < first:
            continue
        state.set_rates(rate_factor(step, recipe))
        losses.append(state.gradients(ids[rank::workers], targets[rank::workers], targets))
        state.muon.step()
        state.adam.step()
        progress.step, progress.tokens = step + 1, progress.tokens + ids.numel()
        progress.spent_s = spent_before_s + time.monotonic() - begin
        if rank == 0 and progress.step % REPORT_EVERY == 0:
            progress.loss, losses = sum(losses) / len(losses), []
            left_s = (
                (progress.spent_s - spent_before_s) / (progress.step - first) * (recipe.steps - progress.step)
            )
            print(
                f"step {progress.step}/{recipe.steps}  loss {progress.loss:.4f}  {progress.spent_s:.0f} s  left {left_s:.0f} s",
                flush=True,
            )
        if rank == 0 and (progress.step % save_every == 0 or progress.step == recipe.steps):
            state.save(folder, progress)
    distributed.destroy_process_group()


@dataclass(slots=True, kw_only=True)
class _Progress:
    step: int = 0
    tokens: int = 0
    spent_s: float = 0.0
    loss: float = 0.0


class _State:
    """Model and optimisers of a run, and how they go to disk and come back."""

    def __init__(self, recipe: Recipe, vocab_size: int) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.model = PocketModel(Shape(vocab_size=vocab_size))
        self.model.run_layer = torch.compile(run_layer, dynamic=False)
        self._parameters: list[Tensor] = list(self.model.parameters())
        matrices: list[Tensor] = [
            weight for weight in self.model.model.layers.parameters() if weight.ndim == 2
        ]
        chosen = {id(matrix) for matrix in matrices}
        rest = [weight for weight in self._parameters if id(weight) not in chosen]
        self.muon = Muon(matrices)
        self.adam = torch.optim.AdamW(rest, betas=(0.9, 0.95), weight_decay=0.0)

    def set_rates(self, factor: float) -> None:
        self.muon.learning_rate = self.recipe.muon_rate * factor
        for group in self.adam.param_groups:
            group["lr"] = self.recipe.adam_rate * factor

    def gradients(self, ids: Tensor, targets: Tensor, all_targets: Tensor) -> float:
        """Set every gradient of the mean loss over the batch of all workers; return that loss."""
        learned = targets != IGNORED
        logits = self.model.hidden_states(ids)[learned] @ self.model.model.embed_tokens.weight.T
        loss = (
            functional.cross_entropy(logits, targets[learned], reduction="sum")
            / (all_targets != IGNORED).sum()
        )
        gradients = torch.autograd.grad(loss, self._parameters)
        flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), loss.detach().reshape(1)])
        distributed.all_reduce(flat)
        parts = flat[:-1].split([parameter.numel() for parameter in self._parameters])
        for parameter, part in zip(self._parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)
        return float(flat[-1])

    def save(self, folder: Path, progress: _Progress) -> None:
        adam = self.adam.state_dict()["state"]
        tensors = {f"model {name}": tensor.detach() for name, tensor in self.model.named_parameters()}
        tensors |= {f"muon {name}": tensor for name, tensor in self.muon.state_dict().items()}
        tensors |= {
            f"adam {i} {name}": tensor for i, values in adam.items() for name, tensor in values.items()
        }
        record = {"recipe": json.dumps(asdict(self.recipe)), "progress": json.dumps(asdict(progress))}
        partial = folder / "state.partial"
        save_file(tensors, partial, metadata=record)
        partial.replace(folder / STATE)

    def take_up(self, folder: Path) -> _Progress:
        """Return how far the run in `folder` is, and go on from there; from the start if it is another run."""
        if not (folder / STATE).exists():
            return _Progress()
        with safe_open(folder / STATE, framework="pt") as stored:
            record = stored.metadata()
            # The file is no mapping: it has keys, and cannot be iterated.
            tensors: dict[str, Tensor] = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        if not self.recipe.continues(Recipe.from_json(record["recipe"])):
            return _Progress()
        adam: dict[int, dict[str, Tensor]] = defaultdict(dict)
        for name, tensor in tensors.items():
            match name.split():
                case ["adam", index, value]:
                    adam[int(index)][value] = tensor
        self.model.load_state_dict(_under("model", tensors))
        self.muon.load_state_dict(_under("muon", tensors))
        self.adam.load_state_dict(self.adam.state_dict() | {"state": dict(adam)})
        return _Progress(**json.loads(record["progress"]))


def _under(part: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.split()[1]: tensor for name, tensor in tensors.items() if name.split()[0] == part}

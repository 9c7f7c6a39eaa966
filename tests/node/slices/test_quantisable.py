"""A quantised folder is, bit for bit, the checkpoint quantised at load; and a damaged one is refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode

from node.slices import load as loading
from node.slices import quantisable, weights
from node.slices.errors import BadCheckpoint, InvalidSlice
from node.slices.kernels import pack
from node.slices.load import load_slice
from node.slices.slice import Slice
from node.slices.spec import SliceSpec, Want
from node.store import checkpoint
from scripts.family_proof import build_whole
from scripts.make_model import TINY, write_tiny
from tests.fakes import quantised_folder
from wire.tensors import WeightFormat
from wire.types import LayerRange

FAMILIES = (
    "llama",
    "qwen2",
    "gemma2",
    "phi3",
    "mixtral",
    "gpt_oss",
    "deepseek_v3",
    "aria_text",
    "deepseek_v4",
)
"""Of them: a shared embedding, projections stored as one, experts one by one, stacked, stored turned around, and
a table of integers."""
PACKED = [one for one in WeightFormat if one is not WeightFormat.NATIVE]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def get(family: str) -> Path:
        if family not in made:
            folder = tmp_path_factory.mktemp(family)
            if family in TINY:
                write_tiny(folder, family, dtype=torch.bfloat16)
            else:
                build_whole(family, folder)
            made[family] = folder
        return made[family]

    return get


@pytest.fixture
def llama(models: Callable[[str], Path], tmp_path: Path) -> Path:
    """A quantised llama, in 4 bits where its shapes allow it, that a test may damage."""
    return quantised_folder.make(models("llama"), WeightFormat.INT4_32, tmp_path / "llama")


def load(
    folder: Path, start: int, end: int, *, ends: str = "", weights: WeightFormat = WeightFormat.INT4_32
) -> Slice:
    layers = LayerRange(start, end)
    return load_slice(
        SliceSpec(checkpoint=folder, layers=layers, embed="e" in ends, head="h" in ends, weights=weights)
    )


def state(piece: Slice) -> dict[str, torch.Tensor]:
    """All that a slice computes with; an embedding that was there only for the head does not."""
    model = piece._model
    held = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: tensor for name, tensor in held.items() if piece.spec.embed or "embed_tokens" not in name}


def logits(piece: Slice) -> torch.Tensor:
    cache = piece.new_cache(piece.spec.layers)
    ids = torch.arange(3, 80).unsqueeze(0)
    return piece.forward(ids, cache=cache, position=0, want=Want.LOGITS)


@pytest.mark.parametrize("weights", [WeightFormat.INT8, WeightFormat.INT4_32])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_slice_of_the_folder_is_that_of_the_checkpoint_quantised_at_load(
    models: Callable[[str], Path], tmp_path: Path, family: str, weights: WeightFormat
) -> None:
    folder = quantised_folder.make(models(family), weights, tmp_path / "out")
    for start, end, ends in ((0, 5, "eh"), (1, 3, ""), (5, 5, "h")):
        expected, got = (
            state(load(where, start, end, ends=ends, weights=weights)) for where in (models(family), folder)
        )
        assert got.keys() == expected.keys()
        for name, tensor in expected.items():
            assert got[name].dtype is tensor.dtype, name
            assert torch.equal(got[name], tensor), name
    whole = load(models(family), 0, 5, ends="eh", weights=weights)
    assert torch.equal(logits(load(folder, 0, 5, ends="eh", weights=weights)), logits(whole))


@pytest.mark.parametrize("weights", PACKED)
def test_the_pocket_model_in_every_format_is_the_one_quantised_at_load(
    tmp_path: Path, weights: WeightFormat
) -> None:
    folder = quantised_folder.make("pocket", weights, tmp_path / "out")
    pocket = checkpoint.resolve(checkpoint.POCKET)
    got, expected = (load(where, 0, 24, ends="eh", weights=weights) for where in (folder, pocket))
    assert torch.equal(logits(got), logits(expected))


def test_a_tensor_is_quantised_if_all_it_becomes_is_rows_of_packed_matrices(
    models: Callable[[str], Path],
) -> None:
    found = {one.name: one for one in quantisable.recipes(models("gemma2"), WeightFormat.INT4_32)}
    assert found["model.layers.0.self_attn.q_proj.weight"].weights is WeightFormat.INT4_32
    assert found["model.layers.0.input_layernorm.weight"].weights is WeightFormat.NATIVE
    assert found["model.embed_tokens.weight"].weights is WeightFormat.NATIVE
    assert found["lm_head.weight"].weights is WeightFormat.INT8
    assert found["lm_head.weight"].tensor.name == "model.embed_tokens.weight"


@pytest.mark.parametrize("family", ["gemma2", "llama"])
def test_a_head_that_shares_the_embedding_asks_for_no_more_than_is_there(
    models: Callable[[str], Path], tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "MAX_UNBACKED_ELEMENTS", 0)
    folder = quantised_folder.make(models(family), WeightFormat.INT8, tmp_path / "out")
    assert load(folder, 0, 5, ends="eh", weights=WeightFormat.INT8).spec.head


def test_experts_that_are_stored_turned_around_are_quantised_upright(
    models: Callable[[str], Path],
) -> None:
    found = {one.name: one for one in quantisable.recipes(models("gpt_oss"), WeightFormat.INT8)}
    turned = {name for name, one in found.items() if one.turned}
    assert turned == {
        f"model.layers.{layer}.mlp.experts.{name}"
        for layer in range(5)
        for name in ("gate_up_proj", "down_proj")
    }


def test_what_is_quantised_already_is_refused(llama: Path) -> None:
    with pytest.raises(BadCheckpoint, match="quantised already, to int4-32; give the checkpoint that it was"):
        quantisable.recipes(llama, WeightFormat.INT8)


@pytest.mark.parametrize("weights", [WeightFormat.NATIVE, WeightFormat.INT8, WeightFormat.INT4_128])
def test_other_weights_than_the_folders_are_refused(llama: Path, weights: WeightFormat) -> None:
    with pytest.raises(
        InvalidSlice, match=f"holds int4-32 weights, not {weights.value}; leave the weights out"
    ):
        load(llama, 0, 1, weights=weights)


def test_a_slice_reads_its_own_codes_and_nothing_else(
    models: Callable[[str], Path], llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: dict[str, int] = {}
    real = weights.Weights

    class Watched(real):  # type: ignore[valid-type, misc]  # the class is only known when the test runs
        def __init__(self, folder: Path, **options: object) -> None:
            super().__init__(folder, **options)
            read.update({name: tensor.nbytes for name, tensor in self.tensors.items()})

    monkeypatch.setattr(loading, "Weights", Watched)
    load(models("llama"), 1, 3)
    native = sum(read.values())
    read.clear()
    load(llama, 1, 3)
    assert {name.split(".")[2] for name in read if "layers" in name} == {"1", "2"}
    assert not [name for name in read if "embed" in name]
    assert sum(read.values()) < 0.5 * native


def test_no_matrix_is_ever_widened_while_a_folder_is_loaded(tmp_path: Path) -> None:
    pocket = checkpoint.resolve(checkpoint.POCKET)
    folder = quantised_folder.make("pocket", WeightFormat.INT8, tmp_path / "out")
    largest = 0

    class Watch(TorchDispatchMode):
        # Torch declares it untyped.
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            for one in out if isinstance(out, list | tuple) else [out]:
                if type(one) is torch.Tensor and one.dtype.is_floating_point and not one.is_meta:
                    largest = max(largest, one.numel())
            return out

    def most(where: Path) -> int:
        nonlocal largest
        largest = 0
        spec = SliceSpec(checkpoint=where, layers=LayerRange(3, 5), weights=WeightFormat.INT8)
        with Watch():  # type: ignore[no-untyped-call]  # torch declares it untyped
            filled = loading.fill(spec, coded=where is folder)
            pack.pack(filled.model, spec.weights, embed=False)
        return largest

    smallest_matrix = 64 * 128
    assert most(pocket) > smallest_matrix
    assert most(folder) < smallest_matrix


Change = Callable[[dict[str, torch.Tensor]], None]
Q = "model.layers.1.self_attn.q_proj.weight"
OUT = "model.layers.1.self_attn.o_proj.weight"


def code_of_minus_128(tensors: dict[str, torch.Tensor]) -> None:
    tensors["lm_head.weight.codes"][3, 3] = -128


def scale(value: float, name: str = Q) -> Change:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors[f"{name}.scale"].view(-1)[5] = value

    return change


def zero(value: float) -> Change:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors[f"{Q}.zero"][5, 1] = value

    return change


def drop(name: str) -> Change:
    return lambda tensors: tensors.__delitem__(name)


def put(name: str, tensor: torch.Tensor) -> Change:
    return lambda tensors: tensors.update({name: tensor})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (code_of_minus_128, r"tensor lm_head\.weight\.codes: holds the code -128"),
        (scale(0.0), r"q_proj\.weight\.scale: holds a scale that is not a number above zero"),
        (scale(-0.5), r"q_proj\.weight\.scale: holds a scale that is not"),
        (scale(float("nan")), r"q_proj\.weight\.scale: holds NaN or infinity"),
        (scale(float("inf")), r"q_proj\.weight\.scale: holds NaN or infinity"),
        (scale(3e38), r"q_proj\.weight\.scale: holds a scale that is not"),
        (scale(0.0, "lm_head.weight"), r"lm_head\.weight\.scale: holds a scale that is not"),
        (zero(float("nan")), r"q_proj\.weight\.zero: holds NaN or infinity"),
        (zero(-3e38), r"q_proj\.weight\.zero: holds a zero point out of range"),
        (drop(f"{Q}.scale"), r"q_proj\.weight\.codes: has no \S+\.scale beside it"),
        (drop(f"{Q}.zero"), r"q_proj\.weight\.codes: has no \S+\.zero beside it"),
        (drop(f"{Q}.codes"), r"q_proj\.weight\.scale: is no part of a llama"),
        (put(f"{Q}.scale", torch.ones(64, 3).bfloat16()), r"BF16\[64, 3\], its codes ask for BF16\[64, 2\]"),
        (put(f"{Q}.scale", torch.ones(64, 2)), r"is F32\[64, 2\], its codes ask for BF16"),
        (put(f"{Q}.codes", torch.ones(32, 32, dtype=torch.uint8)), "its codes ask for BF16\\[32, 2\\]"),
        (put(f"{Q}.codes", torch.ones(64, dtype=torch.uint8)), "no matrix"),
        (
            put(f"{Q}.codes", torch.ones(64, 40, dtype=torch.uint8)),
            "80 weights do not divide into groups of 32",
        ),
        (put(f"{Q}.codes", torch.ones(64, 32)), "is stored as F32, which the folder's format does not have"),
        (put(Q, torch.ones(64, 64).bfloat16()), r"q_proj\.weight: is there twice"),
        (put(f"{Q}.turned", torch.ones(64, 32, dtype=torch.uint8)), "is there twice"),
        (put("model.layers.1.mlp.extra.weight", torch.ones(4, dtype=torch.int8)), "is stored as I8"),
    ],
)
def test_a_damaged_folder_is_an_error_that_names_file_and_tensor(
    llama: Path, change: Change, said: str
) -> None:
    damage(llama, change)
    with pytest.raises(BadCheckpoint, match=said) as caught:
        load(llama, 1, 5, ends="h")
    assert caught.value.path.suffix == ".safetensors"
    assert caught.value.tensor is not None


def damage(folder: Path, change: Change) -> None:
    """Put all tensors into one file, changed."""
    tensors: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(path)
        path.unlink()
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").unlink()


def reshaped(tensors: dict[str, torch.Tensor]) -> None:
    tensors[f"{OUT}.codes"] = torch.ones(48, 32, dtype=torch.uint8)
    tensors[f"{OUT}.scale"] = torch.ones(48, 2).bfloat16()
    tensors[f"{OUT}.zero"] = torch.ones(48, 2).bfloat16()


def in_8_bits(tensors: dict[str, torch.Tensor]) -> None:
    tensors[f"{OUT}.codes"] = torch.ones(64, 64, dtype=torch.int8)
    tensors[f"{OUT}.scale"] = torch.ones(64).bfloat16()
    del tensors[f"{OUT}.zero"]


def q_alone_in_8_bits(tensors: dict[str, torch.Tensor]) -> None:
    tensors[f"{Q}.codes"] = torch.ones(64, 64, dtype=torch.int8)
    tensors[f"{Q}.scale"] = torch.ones(64).bfloat16()
    del tensors[f"{Q}.zero"]


def norm_in_codes(tensors: dict[str, torch.Tensor]) -> None:
    name = "model.embed_tokens.weight"
    rows = tensors.pop(name).shape[0]
    tensors[f"{name}.codes"] = torch.ones(rows, 64, dtype=torch.int8)
    tensors[f"{name}.scale"] = torch.ones(rows).bfloat16()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (reshaped, r"o_proj\.weight: has shape \[48, 64\], the config asks for \[64, 64\]"),
        (in_8_bits, r"o_proj\.weight: is quantised to 8 bits, where a matrix of its shape has 4 bits"),
        (q_alone_in_8_bits, r"_proj\.weight: is quantised, where this model needs the numbers"),
        (norm_in_codes, r"embed_tokens\.weight: is quantised, but is not packed"),
    ],
)
def test_codes_where_others_belong_are_an_error_that_names_file_and_tensor(
    llama: Path, change: Change, said: str
) -> None:
    damage(llama, change)
    with pytest.raises(BadCheckpoint, match=said):
        load(llama, 0, 5, ends="eh")


def test_a_note_that_lies_about_the_format_is_an_error(llama: Path) -> None:
    note = json.loads((llama / "lamella.json").read_text())
    for other, said in (
        ("int8", "is stored as U8, which the folder's format does not have"),
        ("int4-64", "groups of 64"),
    ):
        (llama / "lamella.json").write_text(json.dumps(note | {"weights": other}))
        with pytest.raises(BadCheckpoint, match=said):
            load(llama, 1, 2, weights=WeightFormat(other))
    (llama / "lamella.json").write_text("{")
    with pytest.raises(BadCheckpoint, match=r"lamella\.json: is not JSON"):
        load(llama, 1, 2)


def test_codes_without_a_note_are_refused(llama: Path) -> None:
    (llama / "lamella.json").unlink()
    with pytest.raises(BadCheckpoint, match="is stored as"):
        load(llama, 1, 2, weights=WeightFormat.NATIVE)


def test_a_truncated_shard_is_named(llama: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(llama, tmp_path / "copy"))
    index = json.loads((copy / "model.safetensors.index.json").read_text())["weight_map"]
    path = copy / index[f"{Q}.codes"]
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BadCheckpoint, match=path.name):
        load(copy, 0, 5, ends="eh")

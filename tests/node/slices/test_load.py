"""A slice loads its own tensors and nothing else, from disk alone, and says what is wrong with a checkpoint."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from node.slices.errors import (
    BadCheckpoint,
    InvalidSlice,
    MissingTensor,
    PickleWeights,
    SliceError,
    UnsupportedModel,
)
from node.slices.families import FAMILIES, causal_class
from node.slices.load import load_slice
from node.slices.slice import Slice
from node.slices.spec import SliceSpec, Want
from node.slices.weights import StoredTensor
from scripts.make_model import SHAPES, write_tiny
from tests.node.slices.conftest import TinyModels
from wire.types import LayerRange

MIB = 1024 * 1024


def load(folder: Path, start: int, end: int, **options: Any) -> Slice:
    options = {"dtype": "float32"} | options
    progress = options.pop("progress", None)
    return load_slice(
        SliceSpec(checkpoint=folder, layers=LayerRange(start, end), **options), progress=progress
    )


@pytest.fixture
def copy(tiny: TinyModels, tmp_path: Path) -> Path:
    """A llama that a test may damage."""
    return Path(shutil.copytree(tiny("llama"), tmp_path / "llama"))


def file_of(folder: Path, tensor: str) -> Path:
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    return folder / str(index["weight_map"][tensor])


def rewrite(folder: Path, tensor: str, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    path = file_of(folder, tensor)
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})
    return path


NORM = "model.layers.2.input_layernorm.weight"


def test_progress_rises_to_one(tiny: TinyModels) -> None:
    seen: list[float] = []
    load(tiny("qwen3_moe"), 1, 3, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[0] < 0.5
    assert seen[-1] == 1.0


def test_loading_asks_the_network_for_nothing(tiny: TinyModels, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    load(tiny("gemma3_text"), 0, 5, embed=True, head=True)


def test_weights_are_memory_of_their_own_and_the_files_may_go(copy: Path) -> None:
    piece = load(copy, 1, 2)
    shutil.rmtree(copy)
    cache = piece.new_cache(LayerRange(1, 2))
    out = piece.forward(torch.ones(1, 2, 64), cache=cache, position=0, want=Want.HIDDEN)
    assert torch.isfinite(out).all()


def test_a_model_off_the_list_is_refused(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "zamba2"}))
    with pytest.raises(UnsupportedModel, match="zamba2"):
        load(copy, 0, 1)


@pytest.mark.parametrize(("start", "end", "head"), [(3, 6, False), (6, 7, False), (2, 4, True)])
def test_layers_outside_the_model_are_refused(copy: Path, start: int, end: int, head: bool) -> None:
    with pytest.raises(InvalidSlice):
        load(copy, start, end, head=head)


def test_a_folder_with_pickles_only_is_refused_before_anything_opens_them(copy: Path) -> None:
    for path in copy.glob("*.safetensors*"):
        path.unlink()
    (copy / "pytorch_model.bin").write_bytes(b"not even a pickle")
    with pytest.raises(PickleWeights, match="safetensors"):
        load(copy, 0, 1)


def test_a_missing_tensor_is_named_and_not_made_up(copy: Path) -> None:
    rewrite(copy, NORM, lambda tensors: tensors.__delitem__(NORM))
    index = copy / "model.safetensors.index.json"
    fields = json.loads(index.read_text())
    del fields["weight_map"][NORM]
    index.write_text(json.dumps(fields))
    with pytest.raises(MissingTensor, match=r"model\.layers\.2\.input_layernorm\.weight"):
        load(copy, 1, 3)
    load(copy, 0, 2)


def test_a_tensor_of_another_shape_is_named_with_its_file(copy: Path) -> None:
    path = rewrite(copy, NORM, lambda tensors: tensors.update({NORM: torch.ones(65)}))
    with pytest.raises(BadCheckpoint, match=r"layers\.2\.input_layernorm.*\[65\].*\[64\]") as caught:
        load(copy, 1, 3)
    assert caught.value.path == path
    load(copy, 0, 2)


@pytest.mark.parametrize(
    ("dtype", "name"),
    [(torch.int8, "I8"), (torch.int64, "I64"), (torch.float64, "F64"), (torch.bool, "BOOL")],
)
def test_a_tensor_stored_as_something_else_than_weights_is_named(
    copy: Path, dtype: torch.dtype, name: str
) -> None:
    rewrite(copy, NORM, lambda tensors: tensors.update({NORM: torch.ones(64, dtype=dtype)}))
    with pytest.raises(BadCheckpoint, match=rf"layers\.2\.input_layernorm.*{name}"):
        load(copy, 1, 3)


def test_a_tensor_too_many_in_a_layer_is_named_and_one_outside_is_left_alone(copy: Path) -> None:
    extra = "model.layers.2.self_attn.q_proj.bias"
    index = copy / "model.safetensors.index.json"
    fields = json.loads(index.read_text())
    path = rewrite(copy, NORM, lambda tensors: tensors.update({extra: torch.ones(64)}))
    fields["weight_map"][extra] = path.name
    for left_over in ("model.layers.2.self_attn.rotary_emb.inv_freq", "model.layers.9.mtp", "vision.proj"):
        fields["weight_map"][left_over] = "nowhere.safetensors"
    index.write_text(json.dumps(fields))
    with pytest.raises(BadCheckpoint, match=r"layers\.2\.self_attn\.q_proj\.bias.*no part") as caught:
        load(copy, 1, 3)
    assert caught.value.path == path
    load(copy, 0, 2)


def test_an_expert_that_is_missing_is_an_error(tiny: TinyModels, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny("mixtral"), tmp_path / "mixtral"))
    index = folder / "model.safetensors.index.json"
    fields = json.loads(index.read_text())
    name = next(name for name in fields["weight_map"] if "layers.1." in name and "experts.2." in name)
    rewrite(folder, name, lambda tensors: tensors.__delitem__(name))
    del fields["weight_map"][name]
    index.write_text(json.dumps(fields))
    with pytest.raises(BadCheckpoint):
        load(folder, 1, 2)


def test_a_truncated_file_is_named_and_slices_that_do_not_need_it_load(copy: Path) -> None:
    path = file_of(copy, NORM)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(BadCheckpoint, match=path.name):
        load(copy, 2, 3)
    load(copy, 0, 1)


def test_a_missing_shard_is_named(copy: Path) -> None:
    path = file_of(copy, NORM)
    path.unlink()
    with pytest.raises(BadCheckpoint, match=rf"{path.name}: is missing"):
        load(copy, 2, 3)


def test_a_config_that_is_missing_or_garbage_is_named(copy: Path) -> None:
    (copy / "config.json").write_text("{]")
    with pytest.raises(BadCheckpoint, match=r"config\.json"):
        load(copy, 0, 1)
    (copy / "config.json").unlink()
    with pytest.raises(BadCheckpoint, match=r"config\.json.*missing"):
        load(copy, 0, 1)


@pytest.mark.parametrize(
    "change", [{"hidden_size": 128}, {"intermediate_size": 32}, {"num_attention_heads": 8}]
)
def test_a_config_that_does_not_fit_its_tensors_is_an_error_of_ours(
    copy: Path, change: dict[str, int]
) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(SliceError):
        load(copy, 1, 3)


@pytest.mark.parametrize("change", [{"intermediate_size": 10**9}, {"head_dim": 10**7}])
def test_a_config_cannot_make_memory_fill_with_parameters_that_no_file_backs(
    copy: Path, change: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def allocated(*args: object, **kwargs: object) -> None:
        raise AssertionError("memory was taken")

    monkeypatch.setattr(torch, "empty_like", allocated)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(BadCheckpoint, match=r"config\.json: asks for \d+ parameters"):
        load(copy, 1, 3)


@pytest.mark.parametrize(
    ("family", "change"),
    [
        ("llama", {"num_attention_heads": 7}),
        ("llama", {"num_key_value_heads": 3}),
        ("llama", {"hidden_size": -64}),
        ("llama", {"intermediate_size": -1}),
        ("llama", {"intermediate_size": 10**30}),
        ("llama", {"head_dim": 0}),
        ("llama", {"num_attention_heads": 0}),
        ("qwen2", {"layer_types": ["full_attention"] * 3}),
        ("qwen2", {"layer_types": ["full_attention"] * 9}),
        ("qwen2", {"sliding_window": -8}),
        ("mixtral", {"num_local_experts": 10**9}),
        ("mixtral", {"num_local_experts": 60_000}),
        ("mixtral", {"num_experts_per_tok": 9}),
        ("deepseek_v3", {"n_routed_experts": 10**9}),
        ("deepseek_v3", {"kv_lora_rank": 10**9}),
        ("qwen3_moe", {"num_experts": -4}),
        ("gpt2", {"n_head": 7}),
        ("gpt2", {"n_layer": 10**9}),
        ("gpt2", {"n_positions": 10**9}),
        ("codegen", {"n_positions": 1 << 24, "rotary_dim": 16}),
        ("mamba", {"state_size": 10**9}),
    ],
)
def test_absurd_and_contradictory_configs_are_refused_before_any_weight_is_read(
    tiny: TinyModels, tmp_path: Path, family: str, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(self: StoredTensor) -> torch.Tensor:
        raise AssertionError("a weight was read")

    monkeypatch.setattr(StoredTensor, "read", read)
    folder = Path(shutil.copytree(tiny(family), tmp_path / family))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises((BadCheckpoint, UnsupportedModel)):
        load(folder, 1, 3)


@pytest.mark.parametrize(
    ("stored", "claimed", "problem"),
    [
        ("qwen2", "llama", "is no part of a llama model"),
        ("llama", "qwen2", "is in none of its files"),
        ("qwen3", "llama", "is no part of a llama model"),
        ("mixtral", "llama", "is no part of a llama model"),
        ("gpt2", "llama", "."),
        ("llama", "gpt2", "."),
        ("llama", "mamba", "is in none of its files"),
        ("gemma2", "gemma", "is no part of a gemma model"),
        ("jamba", "llama", "is no part of a llama model"),
    ],
)
def test_a_checkpoint_under_another_familys_name_is_refused(
    tiny: TinyModels, tmp_path: Path, stored: str, claimed: str, problem: str
) -> None:
    folder = Path(shutil.copytree(tiny(stored), tmp_path / stored))
    config = json.loads((folder / "config.json").read_text())
    config = {key: value for key, value in config.items() if key not in ("layer_types", "sliding_window")}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": claimed}))
    with pytest.raises((BadCheckpoint, InvalidSlice, UnsupportedModel), match=problem):
        load(folder, 0, 5, embed=True, head=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_weight_that_is_no_number_is_named(copy: Path, value: float, dtype: torch.dtype) -> None:
    bad = torch.full((64,), torch.finfo(dtype).max, dtype=dtype)
    bad[63] = value
    path = rewrite(copy, NORM, lambda tensors: tensors.update({NORM: bad}))
    with pytest.raises(BadCheckpoint, match=r"layers\.2\.input_layernorm.*NaN") as caught:
        load(copy, 1, 3)
    assert caught.value.path == path
    load(copy, 0, 2)


def test_the_largest_numbers_are_still_numbers(copy: Path) -> None:
    large = torch.full((64,), torch.finfo(torch.float32).max)
    rewrite(copy, NORM, lambda tensors: tensors.update({NORM: large}))
    load(copy, 2, 3)


@pytest.mark.parametrize("tied", [True, False])
def test_a_head_alone_has_the_weights_of_a_head_whether_tied_or_not(tmp_path: Path, tied: bool) -> None:
    folder = write_tiny(tmp_path, "llama", tie_word_embeddings=tied)
    head, embed = load(folder, 5, 5, head=True), load(folder, 0, 0, embed=True)
    assert abs(head.weight_bytes - embed.weight_bytes) < 1_000
    assert head.weight_bytes >= 131 * 64 * 4


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_are_cast_to_the_dtype_asked_for(tiny: TinyModels, dtype: str) -> None:
    single, half = load(tiny("llama"), 1, 2), load(tiny("llama"), 1, 2, dtype=dtype)
    assert half.weight_bytes < 0.55 * single.weight_bytes


MEASURE = """
import sys
from node.slices import threads
threads.prepare(1)
import torch
from pathlib import Path
from node.slices import families
from node.slices.load import load_slice
from node.slices.spec import SliceSpec, Want
from wire.types import LayerRange
threads.apply()
families.causal_class(families.FAMILIES["qwen2"])

def proc(file, key):
    line = next(line for line in Path("/proc/self", file).read_text().splitlines() if line.startswith(key))
    return int(line.split()[1])

before = proc("io", "rchar")
layers = LayerRange(6, 12)
piece = load_slice(SliceSpec(checkpoint=Path(sys.argv[1]), layers=layers, dtype="bfloat16"))
read = proc("io", "rchar") - before
cache = piece.new_cache(layers)
piece.forward(torch.ones(1, 32, 896), cache=cache, position=0, want=Want.HIDDEN)
piece.forward(torch.ones(1, 1, 896), cache=cache, position=32, want=Want.HIDDEN)
print(piece.weight_bytes, read, proc("status", "VmHWM") * 1024)
"""


def half_billion(folder: Path, filled: LayerRange) -> Path:
    """A checkpoint in the shape of Qwen2.5-0.5B whose layers outside `filled` are holes in the file."""
    family, fields = SHAPES["qwen2.5-0.5b"]
    cls = causal_class(FAMILIES[family])
    config = cls.config_class(**fields)
    with torch.device("meta"):
        model = cls(config)
    config.save_pretrained(folder)
    header, places, offset = {}, {}, 0
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        end = offset + tensor.numel() * 2
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [offset, end]}
        places[name], offset = (offset, end), end
    text = json.dumps(header).encode()
    tile = (torch.randn(1 << 20) * 0.02).to(torch.bfloat16).view(torch.uint8).numpy().tobytes()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + offset)
        for name, (start, end) in places.items():
            layer = int(name.split(".")[2]) if ".layers." in name else None
            if layer is not None and layer in filled:
                file.seek(8 + len(text) + start)
                size = end - start
                file.write((tile * (size // len(tile) + 1))[:size])
    return folder


# A fresh process imports torch and transformers, which a busy machine takes a minute for.
@pytest.mark.timeout(300)
def test_six_layers_of_a_half_billion_model_take_the_memory_and_reads_of_six_layers(tmp_path: Path) -> None:
    folder = half_billion(tmp_path, LayerRange(6, 12))
    assert (folder / "model.safetensors").stat().st_size > 900 * MIB
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(folder)], capture_output=True, text=True, timeout=280, check=True
    )
    weights, read, peak = (int(word) for word in run.stdout.split())
    assert 150 * MIB < weights < 180 * MIB
    print(read - weights, peak - weights)
    assert weights - MIB < read < weights + 2 * MIB
    print(f"peak {peak - weights:,} bytes above the weights")
    # Packing holds one more copy of the matrices in hand, and rounds rows of 896 weights up to 1,024.
    assert peak < weights + 400_000_000

"""Only what is wanted is read, and a damaged file is named together with the tensor."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from node.slices.errors import BadCheckpoint, PickleWeights
from node.slices.weights import Weights, read_json

TENSORS = {
    "model.embed_tokens.weight": torch.arange(12.0).view(4, 3),
    "model.layers.0.a.weight": torch.arange(6.0).to(torch.bfloat16).view(2, 3),
    "model.layers.1.a.weight": torch.tensor(2.5, dtype=torch.float16),
    "model.layers.2.empty": torch.zeros(0, 3),
}


def everything(name: str) -> bool:
    return True


def nobody(count: int) -> None:
    return None


def opened(folder: Path, **options: Any) -> Weights:
    return Weights(folder, **({"wanted": everything, "on_read": nobody} | options))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file(TENSORS, tmp_path / "model.safetensors")
    return tmp_path


def rewrite(path: Path, change: dict[str, Any], *, header: bytes | None = None) -> None:
    """Change entries of a file's header, or all of it, and leave its data as it is."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    fields = json.loads(raw[8 : 8 + length])
    for name, entry in change.items():
        fields[name] = entry if not isinstance(entry, dict) else fields[name] | entry
    text = header if header is not None else json.dumps(fields).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])


def test_every_tensor_comes_back_as_it_was_written_in_memory_of_its_own(folder: Path) -> None:
    weights = opened(folder)
    for name, expected in TENSORS.items():
        tensor = weights.tensors[name][...]
        assert tensor.dtype is expected.dtype
        assert torch.equal(tensor, expected)
    first = weights.tensors["model.embed_tokens.weight"].read()
    os.truncate(folder / "model.safetensors", 8)
    assert torch.equal(first, TENSORS["model.embed_tokens.weight"])


def test_what_is_read_is_counted(folder: Path) -> None:
    counts: list[int] = []
    weights = opened(folder, wanted=lambda name: "layers.0." in name, on_read=counts.append)
    assert list(weights.tensors) == ["model.layers.0.a.weight"]
    assert weights.nbytes == 12
    weights.tensors["model.layers.0.a.weight"].read()
    assert counts == [12]


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_a_table_of_integers_is_read_where_one_belongs_and_nowhere_else(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    table = torch.arange(-3, 5, dtype=dtype).view(2, 4)
    save_file({"gate.table": table, "gate.weight": torch.ones(2)}, tmp_path / "model.safetensors")
    weights = opened(tmp_path, is_table=lambda name: name.endswith("table"))
    assert torch.equal(weights.tensors["gate.table"].read(), table)
    assert weights.tensors["gate.table"].holds_integers and not weights.tensors["gate.weight"].holds_integers
    with pytest.raises(BadCheckpoint, match=r"gate\.table.*F32"):
        opened(tmp_path)
    with pytest.raises(BadCheckpoint, match=r"gate\.table.*F32"):
        opened(tmp_path, codes=True)
    with pytest.raises(BadCheckpoint, match=r"gate\.weight.*I64"):
        opened(tmp_path, is_table=everything)


def test_files_without_anything_wanted_are_not_opened(tmp_path: Path) -> None:
    save_file({"model.layers.0.a": torch.ones(2)}, tmp_path / "a.safetensors")
    index = {"weight_map": {"model.layers.0.a": "a.safetensors", "model.layers.1.a": "b.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert list(opened(tmp_path, wanted=lambda name: "layers.0" in name).tensors) == ["model.layers.0.a"]
    with pytest.raises(BadCheckpoint, match=r"b\.safetensors: is missing"):
        opened(tmp_path)


def test_a_tensor_the_index_promises_must_be_in_its_file(tmp_path: Path) -> None:
    save_file({"x": torch.ones(2)}, tmp_path / "a.safetensors")
    index = {"weight_map": {"y": "a.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(BadCheckpoint, match=r"a\.safetensors: tensor y"):
        opened(tmp_path)


@pytest.mark.parametrize("file", ["../a.safetensors", "/etc/passwd", "a.bin", 5, "sub/a.safetensors"])
def test_an_index_cannot_name_files_elsewhere(tmp_path: Path, file: Any) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": file}}))
    with pytest.raises(BadCheckpoint, match="not a safetensors file beside it"):
        opened(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": 3}'])
def test_a_garbled_index_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(BadCheckpoint, match=r"index\.json"):
        opened(tmp_path)


def test_pickles_are_refused_clearly_and_never_opened(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'echo'\ntR.")
    with pytest.raises(PickleWeights, match=r"pytorch_model\.bin.*safetensors"):
        opened(tmp_path)


def test_a_folder_without_weights_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="neither"):
        opened(tmp_path)


def test_a_truncated_file_is_named_with_the_first_tensor_it_cuts(folder: Path) -> None:
    path = folder / "model.safetensors"
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(BadCheckpoint, match=r"model\.safetensors: tensor model\..*the file has"):
        opened(folder)


def test_a_file_truncated_after_it_was_opened_is_an_error_too(folder: Path) -> None:
    weights = opened(folder)
    os.truncate(folder / "model.safetensors", 100)
    with pytest.raises(BadCheckpoint, match=r"tensor model\.embed_tokens\.weight: the file ends inside it"):
        weights.tensors["model.embed_tokens.weight"].read()
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadCheckpoint, match=r"tensor model\.embed_tokens\.weight: cannot be read"):
        weights.tensors["model.embed_tokens.weight"].read()


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x00" * 8, b"\xff" * 16, (2).to_bytes(8, "little") + b"[]", (5).to_bytes(8, "little") + b"{oops"],
)
def test_what_is_not_a_safetensors_file_is_named(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(raw)
    with pytest.raises(BadCheckpoint, match=r"model\.safetensors"):
        opened(tmp_path)


@pytest.mark.parametrize(
    "entry",
    [
        5,
        {"shape": 3},
        {"shape": [4, -3]},
        {"shape": [4, 4]},
        {"data_offsets": [0]},
        {"data_offsets": [8, 0]},
        {"data_offsets": [0.0, 48.0]},
        {"data_offsets": [0, 10**12]},
        {"dtype": None},
        {"dtype": "I64"},
        {"dtype": "F8_E4M3"},
    ],
)
def test_a_malformed_entry_is_named(folder: Path, entry: Any) -> None:
    rewrite(folder / "model.safetensors", {"model.embed_tokens.weight": entry})
    with pytest.raises(BadCheckpoint, match=r"tensor model\.embed_tokens\.weight"):
        opened(folder)


def test_json_larger_than_its_bound_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": "' + "b" * 100 + '"}')
    with pytest.raises(BadCheckpoint, match="larger than 50"):
        read_json(tmp_path / "x.json", 50)

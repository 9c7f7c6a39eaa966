"""What is exported is a checkpoint that plain transformers loads and runs to the same logits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from scripts.pocket import tokenizer as module
from scripts.pocket.corpus import Corpus
from scripts.pocket.export import export, read_record
from scripts.pocket.model import PocketModel, Shape
from scripts.pocket.tokenizer import as_chat, train_tokenizer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PocketModel]:
    folder = tmp_path_factory.mktemp("checkpoint")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LEARNED_FROM", 2_000)
        tokenizer = train_tokenizer(Corpus(1))
    torch.manual_seed(0)
    model = PocketModel(Shape(vocab_size=tokenizer.get_vocab_size(), num_layers=3)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_((weight * 5).bfloat16())
    export(model, tokenizer, folder, record="how it came about")
    return folder, model


def test_transformers_computes_the_logits_of_the_trained_model(checkpoint: tuple[Path, PocketModel]) -> None:
    folder, model = checkpoint
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = torch.randint(0, model.shape.vocab_size, (2, 50))
    with torch.inference_mode():
        torch.testing.assert_close(theirs(ids).logits, model(ids), rtol=1e-4, atol=1e-4)


def test_the_tokenizer_and_its_template_write_what_training_packs(
    checkpoint: tuple[Path, PocketModel],
) -> None:
    folder, _ = checkpoint
    tokenizer = AutoTokenizer.from_pretrained(folder)
    chat = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "What is 17 squared?"},
        {"role": "assistant", "content": "17 squared is 289."},
        {"role": "user", "content": "Hi 🙂\n"},
    ]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == as_chat(chat)
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"
    assert [tokenizer.decode([one]) for one in tokenizer("289")["input_ids"]] == ["2", "8", "9"]


def test_the_folder_holds_the_checkpoint_and_nothing_else(checkpoint: tuple[Path, PocketModel]) -> None:
    folder, _ = checkpoint
    assert sorted(path.name for path in folder.iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert read_record(folder) == "how it came about"

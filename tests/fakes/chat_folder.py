"""Checkpoint folders with nothing but a small tokenizer, of the two kinds that checkpoints have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

CHATML: Final = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TRIMMING: Final = CHATML.replace("message['content']", "message['content'] | trim")
FORGETTING: Final = (
    "{% for message in messages %}{% set said = message['content'] %}{% if message['role'] == 'assistant' %}"
    "{% set said = said.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + said + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""Leaves out of earlier answers what the model thought, as templates of reasoning models do."""

SPECIAL: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEXT: Final = (
    "The quick brown fox jumps over the lazy dog.",
    "What is the capital of France? Paris is the capital of France.",
    "What is 12 plus 30? It is 42.\nuser\nassistant\nsystem\nYou are a helpful assistant.",
    "Grüße aus Köln: naïve café, 東京, Привет, 🙂",
)


def byte_level(folder: Path, template: str | None = CHATML) -> Path:
    """Write a byte-level BPE tokenizer, as Qwen and Llama 3 have, with ChatML tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(SPECIAL),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.add_tokens([AddedToken("<think>", special=False), AddedToken("</think>", special=False)])
    return _write(folder, tokenizer, template)


def sentence_piece(folder: Path, template: str | None = CHATML) -> Path:
    """Write a BPE tokenizer with marked spaces and byte fallback, as Llama 2 and Mistral have."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokens = ["<unk>", *SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=tokens, show_progress=False)
    tokenizer.train_from_iterator(" ".join(TEXT[:3]).split(), trainer)
    # Bytes are ordinary tokens, and only training knows them as special ones.
    settings = json.loads(tokenizer.to_str())
    settings["added_tokens"] = [
        one for one in settings["added_tokens"] if one["content"] in ("<unk>", *SPECIAL)
    ]
    return _write(folder, Tokenizer.from_str(json.dumps(settings)), template)


def _write(folder: Path, tokenizer: Tokenizer, template: str | None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    end = tokenizer.token_to_id("<|endoftext|>")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [end]}))
    return folder

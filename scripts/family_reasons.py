"""Why families are not run, in words; a proof that fails says only that it failed."""

from __future__ import annotations

from typing import Final

NOT_DECODERS: Final = frozenset(
    """
    bart bert bert-generation big_bird bigbird_pegasus blenderbot blenderbot-small camembert cpmant data2vec-text
    electra ernie git marian mbart megatron-bert mllama moshi moss_transcribe_diarize musicgen musicgen_melody mvp
    pegasus plbart prophetnet reformer rembert roberta roberta-prelayernorm roc_bert roformer trocr whisper xlm
    xlm-roberta xlm-roberta-xl xlnet xmod blt fuyu got_ocr2 emu3
    """.split()
)
"""In transformers' list of models that generate text, but not language models of one stack of layers: encoders and
halves of translators that can be run as decoders, and readers of images, music or speech."""
TEXT_PARTS: Final = ("gemma3", "mistral3", "qwen2_5_vl", "qwen3_5", "qwen3_5_moe")
"""Families that also see; their text parts are run."""
TEXT_CLASSES: Final = {
    "gemma3n": "Gemma3nForCausalLM",
}
"""Of families that also see the class of the text part, where the whole cannot be made without other libraries."""

_DRAFTER: Final = "it drafts for another model, whose states it needs"

NOT_TRIED: Final[dict[str, str]] = {
    "gpt-sw3": "its checkpoints say gpt2",
    "gemma4_assistant": _DRAFTER,
    "gemma4_unified_assistant": _DRAFTER,
}
"""Families of which no tiny model is made."""

REASONS: Final[dict[str, str]] = {
    "dots3_note": "no tiny model of it could be made to prove it with",
    "longcat_flash": "each of its layers keeps two caches",
    "modernbert-decoder": "its head looks into the embedding, which a slice may not have",
    "openai-gpt": "it has no cache, so each token would take the whole session again",
    "qwen4_exp": "no tiny model of it could be made to prove it with",
    "qwen4_exp_text": "no tiny model of it could be made to prove it with",
    "recurrent_gemma": "its recurrent state lives in the model, so sessions would change one another",
    "xlstm": "its recurrent state is kept in no cache that a session could have",
    "hrm_text": "its layers are not one list, and run more than once",
    "hy_v4": "which keys a layer attends to passes from layer to layer beside the hidden states",
    "inkling2_text": "its forward looks into layers that a slice does not have",
    "rwkv": "its recurrent state is kept in no cache that a session could have",
    "zamba": "its layers share weights across the whole depth",
    "zamba2": "its layers share weights across the whole depth",
    "zaya": "a second value passes between its layers, so a slice would be silently wrong",
}
"""Families whose proof fails, and the reason behind what the proof says."""

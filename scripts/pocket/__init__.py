"""Makes the pocket model, from the first word of its text to the card that ships with it.

Never reads anything from outside: the text is generated from a seed. Reading order: `arithmetic`, `facts`, `talk`,
`others` (the text, with the lists in `text/`), `corpus` (its mixture), `tokenizer`, `packing`, `model`, `muon`, `train`,
`export`, `questions`, `evaluate`, `card`; `scripts/train_pocket.py` joins them.
"""

"""Makes the pocket model, from the first word of its text to the card that ships with it.

Never reads anything from outside: the text is generated from a seed. Reading order: `arithmetic`, `facts`, `talk`,
`others` (the text), `corpus` (its mixture), `tokenizer`, `model`, `muon`, `train`, `export`, `questions`, `evaluate`, `card`.
"""

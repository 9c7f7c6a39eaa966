"""What exists because a person asked for something: prompts, routes, answers, the command line and the screen.

`client` joins transport and slices into a `Driver`; everything above it only reads the events of an answer. Nothing
here imports the host daemon. Reading order: `events`, `driver`, `route`, `tokenizer`, `prompt`, `conversation`,
`chain`, `session`, `client`, `cli`, `tui`.
"""

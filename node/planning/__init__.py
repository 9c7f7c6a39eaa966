"""Who should serve which layers: pure decisions from a model's shape, machines, and what peers say they serve.

Nothing here opens a socket, reads a clock, or holds a weight; times, peers and budgets are arguments, and every choice
comes with the sentence that says why. Reading order: `shape` (what a model costs), `machines` and
`machine_file` (what there is), `cost` (the estimate), `search` and `partition` (a plan for machines that are known),
`advice` (what would help it), then `coverage`, `gap` and `moving` (one host among strangers). `docs/planning.md` has
the model behind the estimates, and their errors.
"""

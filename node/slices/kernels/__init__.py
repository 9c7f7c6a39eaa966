"""Matrix products of a slice, each by the kernel that suits the number of tokens and how the weights are kept.

Reading order: `quantise` (weights to few bits, portable and deterministic), `linear` (the modules that replace
`nn.Linear`), `pack` (which of a model's modules are replaced). Compute thread only.
"""

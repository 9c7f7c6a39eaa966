"""Runs a range of a model's layers, bit for bit as the whole model would. The only package that imports torch.

It knows nothing of sockets, sessions or peers: what it gets is a folder with a checkpoint, a range of layers,
and tensors. Every torch operation of a process, loading included, happens on one thread (`compute`).

Reading order: `spec` (what to load), `families` (which models may be), `weights` (bytes on disk to tensors),
`names` (which tensor belongs where), `build` (the model with holes), `load`, `cache`, `state_cache`, `cache_plan`,
`inputs`, `together`, `merged`, `slice` (the forward pass), `portable_cache`; beside them `lean` (imports), `threads`,
`compute`, `budget`, `tensors`, `sampling`, `device`, `memory`. `threads`, `compute`, `budget`, `sampling`, `spec`,
`families` and `errors` can be imported without torch.

Shape letters used throughout: B batch (1, but for sessions that share a forward as a batch), T new tokens, S tokens in
the cache, D hidden size, H query heads, K key/value heads, Dh head size, V vocabulary, L layers of the whole model.
"""

from node.slices import lean

lean.install()

"""The life of the slices of one host: joined, loaded, served, paused, drained, left, while the process runs on.

A pure machine over a table says what follows what; `keeper` lets it act through hands that are given to it, and knows
neither sockets nor tensors. What a person asked for is on disk before it is acknowledged. Reading order: `errors`,
`wishes`, `table`, `happenings`, `machine`, `intents`, `recovery`, `attendant`, `following`, `keeper`.
"""

"""Checkpoints on this machine's disk: where they are, what they hold, which model they are.

Knows files and digests; knows no peer, no tensor library. Reading order: `errors`, `safetensors_header`, `checkpoint`.
"""

"""Weights on this machine's disk, and where they come from: checkpoints in folders, chunks in a store, a hub, peers.

Knows bytes and digests; knows no link, no session, no tensor library. Believes nothing that it has not digested.
Reading order: `errors`, `source`; `safetensors_header`, `checkpoint`; `catalogue`, `lease`, `quota`, `chunks`, `views`;
`fetch`, `schedule`; `hub`, `hub_source`, `hub_manifest`; `shelf`, `share`, `peer_source`.
"""

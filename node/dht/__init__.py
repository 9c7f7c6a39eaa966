"""The distributed hash table in which hosts say what they serve. Spec: `specs/dht.md`.

It moves signed records between nodes and believes nobody: not who a node says it is, not that it is where it says, not
what it hands on. It knows nothing of links, slices or stores; what it needs of them comes in as arguments.
Reading order: `places` (networks of addresses), `reading` (records), `storage`, `tokens`, `sources`, `admission`,
`routing`, `exchange` (requests and their answers), `protocol` (what a node answers), `arcs`, `crawl` (one search),
`node` (searches, stores and joins), `reach` (can others reach us), `peer_cache`, `announcing`, `service` (the
Directory).
"""

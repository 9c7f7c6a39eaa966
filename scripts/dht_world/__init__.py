"""A network in memory for nodes of the DHT: the real code of protocol, storage and search on a clock that jumps.

Round trips are lognormal, datagrams are lost, nodes die and lie. Reading order: `clock`, `world`, `liars`, `trials`.
"""

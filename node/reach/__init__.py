"""Whether others can reach this machine, and what is done so that they can.

What others see us at is `observed`; that they can connect there is proved by `dial_back`; a router is asked to let them
through by `mapping`, which speaks PCP (RFC 6887), NAT-PMP (RFC 6886) and UPnP IGD with it. A router is believed in
nothing that matters: what it grants becomes an address only when a peer has dialled back there. Nothing here knows a
link, a record or a model. Reading order: `errors`, `ports` (what is asked for and granted), `gateway`, `pcp`,
`nat_pmp`, `strict_xml`, `ssdp`, `igd`, `http_answer` (all pure), `datagrams`, `http_call` (their sockets), `methods`,
`mapping`; then `observed`, `dial_back`, `proving`, `standing`. Spec: `specs/reachability.md`.
"""

"""A swarm of several hosts on this one machine: starting, watching and stopping their processes, and asking them.

`scripts/swarm.py` is the command line. Reading order: `plan`, `processes`, `folder`, `lifecycle`, `inquiry`, `demo`,
`commands`.
"""

"""What touches the machine: sockets, clocks, disks, threads and the processor that computes layers.

Its libraries (`transport`, `discovery`, `store`, `slices`) do not know each other; `daemon` joins them. Nothing here
draws a screen or speaks to a person but `__main__`. Reading order: `errors`, `paths`, `keyfile`, the libraries,
`daemon`.
"""

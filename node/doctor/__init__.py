"""Looks whether this machine and this host are in order, and puts what a developer needs to know into one file.

A check is a small function that finds one thing out and judges it; none changes anything, and none sends anything to
the network. What is told of a running host comes from its control socket.

Read `finding` (what a check answers), `examining` (running them within their time), then the checks: `identity`,
`ports` with `holders`, `network`, `clock`, `disk`, `memory`, `packaged`, `computing` with `child`, `standing`, `host`;
`checks` lists them. `redacting` takes secrets and names out of text, `gathering` collects, `bundle` writes the file.
"""

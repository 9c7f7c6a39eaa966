"""What a host tells about itself: measured values, whether it is well, and its log.

Nothing here decides anything, and nothing here names a peer, carries a prompt, a token's text or a key: what is
measured is counted by kinds that the program knows, and what is logged passes one place that keeps the rest out. What
other parts know comes in as values and callables; those parts are not imported.

Read `declared` (what a metric is), `facts` and `tally` (every metric, where its value comes from), `metrics`
(Prometheus text), `watch` (whether loop and compute thread still answer), `http` (the port that is opened when asked
for); `records` (what of a log record is told), `sparing` (floods), `ring` (the latest records) and `logs`, which
joins these.
"""

"""The reference of `chain.py`: the whole model in one process, one thread of control, the same kernels and threads.

Reads one JSON object a line, `{"prompt": 512, "tokens": 32, "chunk": 0}`, and answers with the seconds of the prefill
(to the first token) and of each decode step, sampling included.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter

from node.slices import threads
from wire.types import LayerRange, Sampling


def main() -> None:
    """Answer measurements until standard input ends."""
    folder, dtype, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    threads.prepare(count)
    threads.apply()
    from node.slices import sampling, tensors
    from node.slices.facts import read_facts
    from node.slices.load import load_slice
    from node.slices.spec import SliceSpec, Want

    layers = LayerRange(0, read_facts(folder).num_layers)
    whole = load_slice(SliceSpec(checkpoint=folder, layers=layers, embed=True, head=True, dtype=dtype))
    greedy = Sampling()
    print(json.dumps({"event": "ready"}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        ids = [index % 250 for index in range(asked["prompt"])]
        cache = whole.new_cache(layers)
        started = perf_counter()
        chunk = asked["chunk"] or len(ids)
        for at in range(0, len(ids), chunk):
            part = tensors.from_ids(ids[at : at + chunk])
            want = Want.LOGITS if at + chunk >= len(ids) else Want.HIDDEN
            result = whole.forward(part, cache=cache, position=at, want=want)
        token = sampling.draw(tensors.to_numpy(result), greedy, len(ids))
        prefill_s = perf_counter() - started
        steps = []
        tokens = [token]
        for _ in range(asked["tokens"]):
            started = perf_counter()
            logits = whole.forward(
                tensors.from_ids([token]), cache=cache, position=cache.length, want=Want.LOGITS
            )
            token = sampling.draw(tensors.to_numpy(logits), greedy, cache.length)
            steps.append(perf_counter() - started)
            tokens.append(token)
        print(json.dumps({"prefill_s": prefill_s, "steps_s": steps, "tokens": tokens}), flush=True)


if __name__ == "__main__":
    main()

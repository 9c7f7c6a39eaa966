"""The events of an answer as JSON objects, for scripts: one key `event`, and the event's own fields."""

from __future__ import annotations

from chat.errors import ChatError, sentence
from chat.events import Event, Finished, Planned, Prefilling, Stats, TextDelta
from chat.route import Route

Json = dict[str, object]


def event_json(event: Event) -> Json:
    """Return what `json.dumps` takes for `event`."""
    match event:
        case Planned():
            return {"event": "planned", **_route(event.route)}
        case Prefilling():
            return {
                "event": "prefilling",
                "done_tokens": event.done_tokens,
                "total_tokens": event.total_tokens,
                "reused_tokens": event.reused_tokens,
            }
        case TextDelta():
            return {"event": "text", "text": event.text, "token_ids": list(event.token_ids)}
        case Finished():
            return {
                "event": "finished",
                "reason": event.reason.value,
                "text": event.text,
                "stats": _stats(event.stats),
            }


def error_json(error: ChatError) -> Json:
    """Return what stands at the end of the events when there was no answer."""
    return {
        "event": "error",
        "error": type(error).__name__,
        "message": sentence(error),
        "exit_code": error.exit_code,
    }


def _route(route: Route) -> Json:
    return {
        "model": str(route.model),
        "front": str(route.front),
        "private_ends": route.private_ends,
        "hops": [
            {
                "peer": str(hop.peer),
                "address": str(hop.address),
                "layers": str(hop.layers),
                "dtype": hop.dtype.value,
                "weights": hop.weights.value,
                "tail": hop.tail,
                "sees_tokens": hop.sees_tokens,
            }
            for hop in route.hops
        ],
    }


def _stats(stats: Stats) -> Json:
    return {
        "prompt_tokens": stats.prompt_tokens,
        "reused_tokens": stats.reused_tokens,
        "answer_tokens": stats.answer_tokens,
        "first_token_s": round(stats.first_token_s, 4),
        "decode_tokens_per_s": round(stats.decode_tokens_per_s, 2),
        "links_ms": round(stats.links_ms, 3),
        "seed": stats.seed,
        "hops": [
            {
                "peer": None if hop.peer is None else str(hop.peer),
                "layers": str(hop.layers),
                "compute_ms": round(hop.compute_ms, 3),
                "queue_ms": round(hop.queue_ms, 3),
            }
            for hop in stats.hops
        ],
    }

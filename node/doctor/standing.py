"""How the service stands that runs the host, if there is one. Changes nothing."""

from __future__ import annotations

from node.doctor.finding import Finding, ok, problem, warning
from node.service.errors import NoSystemd, ServiceError
from node.service.installing import Service
from node.service.standing import Standing


async def look(service: Service) -> Finding:
    """Look at the service."""
    try:
        standing = await service.look()
    except NoSystemd as error:
        return ok(f"{error.cause}; there is no service", installed=False)
    except ServiceError as error:
        return warning(error.cause, error.next_step)
    facts = {"installed": standing.load_state == "loaded", **_facts(standing)}
    if standing.load_state == "not-found":
        return ok("no service is installed; `lamella-node service install` makes one", **facts)
    if standing.load_state != "loaded":
        return problem(
            f"systemd does not take the service's unit: {standing.load_error or standing.load_state}",
            "`lamella-node service install` writes it anew",
            **facts,
        )
    if standing.active_state == "failed" or standing.sub_state == "auto-restart":
        _cause, step = standing.why_it_ended
        return problem(f"the service {standing.text}", f"{step}: `lamella-node service logs`", **facts)
    if not standing.ready:
        return warning(
            f"the service {standing.text}",
            "`systemctl --user start lamella-node` starts it, `lamella-node service uninstall` removes it",
            **facts,
        )
    if standing.restarts:
        return warning(
            f"the service {standing.text}; systemd had to start it again {standing.restarts} times",
            "`lamella-node service logs` says why it ended",
            **facts,
        )
    lingers = (await service.lingers()).on
    if lingers is False:
        return warning(
            f"the service {standing.text}; it ends with your last login",
            "`loginctl enable-linger` lets it run from boot on",
            **facts,
        )
    return ok(f"the service {standing.text}", **facts)


def _facts(standing: Standing) -> dict[str, object]:
    kept = (
        "active_state", "sub_state", "enabled", "since", "restarts", "result", "exit_status", "killed",
        "memory_bytes", "ready",
    )  # fmt: skip
    said = standing.facts()
    return {name: said[name] for name in kept}

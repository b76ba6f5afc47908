"""How long a person's decision takes to have its effect: from the decision's row to the start of the next stage."""

import json
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import text

from tests.conftest import Servers
from tests.fleet import Fleet, fleet
from tests.processes import eventually

DECISIONS = 100
WARM = 5
SHOP = "shop"
BEGUN = text(
    """
    SELECT extract(epoch FROM records.started_at - decisions.created_at) FROM decisions
    JOIN records ON records.job_id = decisions.job_id AND records.step = 'storyboard'
    WHERE decisions.job_id = :job AND records.started_at IS NOT NULL
    """
)


def main() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="likeness-bench-")))
        running = stack.enter_context(fleet(Servers(stack), folder, {SHOP: None}))
        avatar_id = _avatar(running)
        taken = sorted([_decide(running, avatar_id) for _ in range(WARM + DECISIONS)][WARM:])
    p95 = taken[int(0.95 * len(taken))]
    print(f"median {statistics.median(taken) * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms, most {taken[-1] * 1000:.0f} ms")
    print(json.dumps({"count": len(taken), "p50": statistics.median(taken), "p95": p95, "most": taken[-1]}))


def _avatar(running: Fleet) -> str:
    job = running.submit(SHOP, "/v1/avatars", running.avatar(SHOP))
    return str(eventually(lambda: (_job(running, job)["result"] or {}).get("avatar_id"), within=60, what="an avatar"))


def _decide(running: Fleet, avatar_id: str) -> float:
    """One job waits at its script, is approved, and goes on; how long that took, in seconds."""
    asked = running.output(avatar_id, "One.") | {"review": {"gates": ["script"]}}
    job = running.submit(SHOP, "/v1/outputs", asked)
    gate = eventually(lambda: _job(running, job)["gate"], within=60, what="a gate")
    said = {"contract": "job.approve/1", "gate": "script", "decision": "approve", "digest": gate["digest"]}
    answer = running.call(SHOP, "POST", f"/v1/jobs/{job}/approvals", json=said, headers={"Idempotency-Key": job})
    assert answer.status_code == 202, answer.text

    def begun() -> float | None:
        with running.database.transaction() as session:
            found: Any = session.scalar(BEGUN, {"job": job})
            return None if found is None else float(found)

    taken = eventually(begun, within=60, what="the storyboard begins")
    eventually(lambda: _job(running, job)["status"] == "completed", within=60, what="the job ends")
    return taken


def _job(running: Fleet, job: str) -> dict[str, Any]:
    found: dict[str, Any] = running.call(SHOP, "GET", f"/v1/jobs/{job}").json()
    return found


if __name__ == "__main__":
    main()

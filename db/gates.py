"""What is put before a person."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from db.turns import Turn
from schemas import records as codec

ROUNDS = "SELECT count(*) FROM decisions WHERE job_id = %(job)s AND gate = %(gate)s"


def open(job: Turn, name: str, stage: str, items: Sequence[Mapping[str, Any]]) -> None:
    """A person decides about these items: the very assets, texts and amounts, and until when."""
    now = datetime.now(UTC)
    expires_in_s = (job.request.get("review") or {}).get("expires_in_s")
    ((rounds,),) = job.ask(ROUNDS, {"job": job.id, "gate": name})
    job.open(
        {
            "name": name,
            "stage": stage,
            "round": rounds + 1,
            "digest": digest(items),
            "items": list(items),
            "opened_at": _written(now),
            "expired": False,
            "expires_at": None if expires_in_s is None else _written(now + timedelta(seconds=expires_in_s)),
        }
    )


def item(stage: str, scene: int | None, output: Any) -> dict[str, Any]:
    return {"stage": stage, "scene": scene, "digest": codec.digest(output), "output": output}


def digest(items: Sequence[Mapping[str, Any]]) -> str:
    return codec.digest({each["stage"]: each["digest"] for each in items})


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

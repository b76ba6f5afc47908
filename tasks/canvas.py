"""A tree of steps becomes a Celery canvas: `seq` → chain, `par` → group, hence chord where something follows."""

from celery import Celery, chain, group
from celery.canvas import Signature

from db.jobs import Launch
from pipeline.graph import Node, Par, Seq, Step
from pipeline.stage import Stage

# One message may carry several light steps after its first, the longest of which may take five minutes. Each step's own
# limit is kept by the watch.
LIGHT_SLACK_S = 360
KILL_SLACK_S = 60


def compile(app: Celery, launch: Launch) -> Signature:
    """The canvas of a launch; it ends by asking what is next."""
    return chain(_compile(app, launch, launch.tree), _advance(app, launch))


def _compile(app: Celery, launch: Launch, node: Node) -> Signature:
    if isinstance(node, Step):
        return step(app, node.stage, launch.job_id, node.key, launch.number, launch.lane)
    if isinstance(node, Par):
        return group(*(_compile(app, launch, part) for part in node.parts))
    assert isinstance(node, Seq), "a segment holds neither gates nor unknown scenes"
    return chain(*(_compile(app, launch, part) for part in node.parts))


def step(app: Celery, stage: Stage, job_id: str, key: str, number: int, lane: str) -> Signature:
    """The message that asks for a step: identifiers, never payloads."""
    limit = stage.limit.total_seconds() + LIGHT_SLACK_S
    return app.signature(
        stage.name,
        args=(job_id, key, number),
        immutable=True,
        queue=lane,
        routing_key=f"{lane}.{stage.name}",
        argsrepr=f"(job={job_id}, step={key}, launch={number})",
        soft_time_limit=limit,
        time_limit=limit + KILL_SLACK_S,
    )


def _advance(app: Celery, launch: Launch) -> Signature:
    return app.signature(
        "advance",
        args=(launch.job_id, launch.number),
        immutable=True,
        queue=launch.lane,
        routing_key=f"{launch.lane}.advance",
        argsrepr=f"(job={launch.job_id}, launch={launch.number})",
    )

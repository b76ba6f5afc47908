"""The messages of a launch are those that Celery makes of its canvas."""

import json
import re
from typing import Any

import pytest
from celery import Celery, uuid
from celery.canvas import Signature

from db.jobs import Launch
from pipeline.graph import Node, parts, seq
from pipeline.routes import plan
from tasks import canvas, stencils


class Sent(Celery):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__("test", broker="memory://nowhere", backend="tasks.backend:RecordBackend", set_as_current=False)
        self.finalized = True
        self.messages: list[dict[str, Any]] = []

    def send_task(self, name: str, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        options.pop("producer", None)
        self.messages.append({"name": name, "args": args, **options})
        return self.AsyncResult(options["task_id"])


def ids(text: str) -> list[str]:
    return stencils.ID.findall(text)


def named(messages: list[dict[str, Any]]) -> str:
    """As JSON, with each id named by its first place."""
    found: dict[str, str] = {}
    text = json.dumps(messages, sort_keys=True)
    return re.sub(stencils.ID, lambda match: found.setdefault(match[0], f"id {len(found)}"), text)


@pytest.mark.parametrize("tree", [plan("multi_scene").tree, plan("multi_scene", 3).tree], ids=["head", "whole"])
def test_they_carry_what_celerys_own_would(tree: Node) -> None:
    ready = seq(*(part for part in parts(tree) if not hasattr(part, "body")))
    launch = Launch("job_1", 3, "avatar", ready)
    ours, celerys = Sent(), Sent()
    stencils.send(ours, stencils.messages(launch))
    canvas.compile(celerys, launch).apply_async()
    assert named(ours.messages) == named(celerys.messages)


def test_what_stands_side_by_side_is_sent_as_celery_would_send_it() -> None:
    (message,) = stencils.messages(Launch("job_1", 3, "avatar", plan("multi_scene", 2).tree))
    *rest, fan = message["chain"][:-2]
    ids = {"parent_id": uuid(), "root_id": message["task_id"]}
    ours = stencils.fan(fan, rest, job_id="job_1", **ids)
    celerys = Sent()
    Signature.from_dict(dict(fan), app=celerys).apply_async((None,), chain=rest, **ids)
    assert [each["args"][1] for each in ours] == [
        f"scene/{n}/{name}" for n in (1, 2) for name in ("speech", "background")
    ]
    assert named(ours) == named(celerys.messages)
    assert [each["task_id"] for each in ours] == [each["task_id"] for each in celerys.messages]
    assert {(each["parent_id"], each["root_id"]) for each in ours} == {tuple(ids.values())}


def test_two_jobs_of_one_shape_share_nothing() -> None:
    tree = plan("multi_scene", 2).tree
    first, second = Sent(), Sent()
    stencils.send(first, stencils.messages(Launch("job_1", 3, "avatar", tree)))
    stencils.send(second, stencils.messages(Launch("job_2", 4, "avatar", tree)))
    one, other = json.dumps(first.messages), json.dumps(second.messages)
    assert "job_2" in other
    assert "job_1" not in other
    assert not set(ids(one)) & set(ids(other))

"""A tree of steps as a Celery canvas."""

from dataclasses import dataclass

import pytest
from celery import Celery
from celery.canvas import Signature, _chain, _chord, group

from db.jobs import Launch
from pipeline.graph import Node, par, seq
from pipeline.routes import plan
from pipeline.stage import stage
from tasks import canvas


@pytest.fixture
def app() -> Celery:
    return Celery("test", set_as_current=False)


def compiled(app: Celery, tree: Node, lane: str = "avatar") -> Signature:
    return canvas.compile(app, Launch("job_1", 3, lane, tree))


def shape(signature: Signature) -> str:
    if isinstance(signature, _chord):
        return f"({' | '.join(map(shape, signature.tasks))}) > {shape(signature.body)}"
    if isinstance(signature, group):
        return f"({' | '.join(map(shape, signature.tasks))})"
    if isinstance(signature, _chain):
        return " > ".join(map(shape, signature.tasks))
    return signature.args[1] if len(signature.args) == 3 else signature.task


def leaves(signature: Signature) -> list[Signature]:
    if isinstance(signature, _chord):
        return [leaf for each in (*signature.tasks, signature.body) for leaf in leaves(each)]
    if isinstance(signature, _chain | group):
        return [leaf for each in signature.tasks for leaf in leaves(each)]
    return [signature]


def test_the_canvas_has_the_shape_of_the_tree_and_ends_with_what_is_next(app: Celery) -> None:
    whole = compiled(app, plan("multi_scene", 2).tree)
    assert shape(whole) == (
        "load_identity > script > storyboard > "
        "((scene/1/speech | scene/1/background) > scene/1/lip_sync | "
        "(scene/2/speech | scene/2/background) > scene/2/lip_sync) > "
        "stitch > enhance > publish > advance"
    )


def test_messages_carry_identifiers_only_and_go_to_the_jobs_lane(app: Celery) -> None:
    for leaf in leaves(compiled(app, plan("multi_scene", 2).tree, lane="marketing")):
        assert leaf.options["queue"] == "marketing"
        assert leaf.options["routing_key"] == f"marketing.{leaf.task}"
        assert leaf.immutable
        assert leaf.kwargs == {}
        assert leaf.args[0] == "job_1"
        assert leaf.args[-1] == 3


def test_a_new_stage_is_one_function_and_its_place_in_a_route(app: Celery) -> None:
    @dataclass(frozen=True)
    class Translation:
        text: str

    Translation.__module__ = __name__

    def translate() -> Translation:
        return Translation("Hallo")

    translate.__annotations__ = {"return": Translation}
    new = stage(label="Translating")(translate)
    (message, _) = leaves(compiled(app, seq(par(new))))
    assert (message.task, message.options["routing_key"]) == ("translate", "avatar.translate")

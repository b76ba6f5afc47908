"""What a person says becomes the output of a stage."""

import copy
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError
from sqlalchemy.orm import Session

from db import assets
from db.models import Job, Record
from pipeline.answers import Unfit, answer
from pipeline.frame import Frame
from pipeline.graph import Step
from pipeline.routes import Plan, plan
from pipeline.snapshots import BRollWish, LowerThird, PoseWish, Setting
from pipeline.stages.script import Script
from pipeline.stages.storyboard import compose
from schemas import records
from schemas.job_retry import SCENE_WAYS, overrides
from schemas.output_generate import planned, unplayable
from schemas.problems import Flaw, PayloadInvalid, flaws, pointer

EDITED = "edited"


def approved(session: Session, job: Job, edits: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """By step: the output that a reviewer gives. Raises PayloadInvalid."""
    found: dict[str, Any] = {}
    if edits.get("text"):
        found["script"] = _script(edits["text"])
    if edits.get("scenes"):
        found["storyboard"] = _board(job, edits["scenes"], ("edits", "scenes"))
    wrong: list[Flaw] = []
    for step, asset_id in edits.get("assets", {}).items():
        try:
            found[step] = answered(session, step, asset_id, records.load(job.request["frame"], Frame), owner)
        except Unfit as error:
            wrong.append(Flaw(pointer(("edits", "assets", step)), str(error)))
    if wrong:
        raise PayloadInvalid(wrong)
    return found


def overridden(session: Session, job: Job, key: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """By step: the output that makes the named step read what is said anew. Raises PayloadInvalid."""
    made = plan(job.route, job.scenes)
    step = made.steps.get(key)
    if step is None:
        return {}  # that there is no such stage is told where the records are seen
    try:
        said = overrides(step.stage, given)
    except ValidationError as error:
        raise PayloadInvalid(list(flaws(error.messages))) from None
    if step.key == "script":
        return {"script": _script(said["text"])}
    if step.key == made.storyboard:
        return {step.key: _board(job, said["scenes"], ("overrides", "scenes"))}
    return _scene(session, job, made, step, said)


def answered(session: Session, step: str, asset_id: str, frame: Frame, owner: str) -> Any:
    """What the step would have made, from the client's own asset. Raises Unfit."""
    found = assets.find(session, asset_id, client=owner, keep=True)
    if found is None:
        raise Unfit(f"there is no asset {asset_id}")
    return records.dump(answer(step.rpartition("/")[2], assets.asset(found), found.facts, frame))


def _script(text: str) -> Any:
    return records.dump(Script(text, EDITED))


def _board(job: Job, scenes: list[dict[str, Any]], place: tuple[str, ...]) -> Any:
    request = job.request
    poses = records.load(request["poses"], PoseWish) if request["poses"] else None
    b_roll = records.load(request["b_roll"], BRollWish) if request["b_roll"] else None
    title = records.load(request["lower_third"], LowerThird) if request["lower_third"] else None
    wrong = unplayable(scenes, poses=poses is not None, media=b_roll.media if b_roll else None)
    if wrong:
        raise PayloadInvalid(list(flaws(wrong, place)))
    background = records.load(request["setting"], Setting).prompt
    return records.dump(compose(planned(scenes, background=background, poses=poses), poses, b_roll, title))


def _scene(session: Session, job: Job, made: Plan, step: Step, said: Mapping[str, Any]) -> dict[str, Any]:
    """The storyboard with another word, prompt, framing or pose in one scene: whoever reads that runs anew."""
    row = session.get(Record, (job.id, made.storyboard))
    if row is None or row.output is None or step.scene is None:
        raise PayloadInvalid([Flaw("/overrides", f"{step.key} cannot be changed before there is a storyboard")])
    board = copy.deepcopy(row.output)
    scene = board["scenes"][step.scene - 1]
    for name, (part, field) in SCENE_WAYS.values():
        if name in said:
            scene[part] = (scene[part] or {}) | {field: said[name]}
    return {made.storyboard or "": board}

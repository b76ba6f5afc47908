"""`job.approve/1`: what a person decides at a gate."""

from typing import Any

from marshmallow import ValidationError, validates_schema

from pipeline.review import BUDGET
from pipeline.routes import GATES
from schemas.money import MoneyFields
from schemas.output_generate import (
    MOST_SCENES_EVER,
    SCRIPT_CHARACTERS,
    ApprovedAssets,
    PlannedScene,
)
from schemas.strict import Choice, Matching, Strict, Text, Whole, listed, nested

DECISIONS = ("approve", "revise", "reject")
# By gate: the one thing that a person may give in its place.
EDITS = {"script": "text", "storyboard": "scenes", "background": "assets", "video_asset": "assets", BUDGET: "budget"}
EXAMPLE = {
    "contract": "job.approve/1",
    "gate": "background",
    "decision": "revise",
    "scenes": [2],
    "notes": "Brighter, please.",
    "reviewer": "r_7",
}


class EditFields(Strict):
    """What takes the place of what was made."""

    text = Text(SCRIPT_CHARACTERS, lines=True, spoken=True, metadata={"description": "At the gate `script`."})
    scenes = listed(
        nested(PlannedScene), 1, MOST_SCENES_EVER, metadata={"description": "At the gate `storyboard`: all scenes."}
    )
    assets = ApprovedAssets()
    budget = nested(
        MoneyFields, metadata={"description": "At the gate `budget`: of the whole job, what was spent included."}
    )


class JobApprove(Strict):
    """`job.approve/1`"""

    contract = Choice(("job.approve/1",), required=True)
    gate = Choice((*GATES, BUDGET), required=True)
    decision = Choice(DECISIONS, required=True)
    edits = nested(EditFields, load_default=None, allow_none=True, metadata={"description": "With `approve`."})
    scenes = listed(
        Whole(1, MOST_SCENES_EVER),
        1,
        MOST_SCENES_EVER,
        load_default=None,
        allow_none=True,
        metadata={"description": "With `revise`: only these; all if left out."},
    )
    notes = Text(
        2000,
        lines=True,
        load_default=None,
        allow_none=True,
        metadata={"description": "With `revise` they are handed to whoever makes the next variation."},
    )
    reviewer = Text(200, load_default=None, allow_none=True)
    digest = Matching(
        r"[0-9a-f]{64}",
        form="the gate's digest",
        load_default=None,
        allow_none=True,
        metadata={"description": "`gate.digest` as it was seen: refused if something else is under review by now."},
    )

    @validates_schema
    def fitting(self, data: dict[str, Any], **_: Any) -> None:
        edits = {name: value for name, value in (data["edits"] or {}).items() if value}
        wrong: dict[str, Any] = {}
        if edits and data["decision"] != "approve":
            wrong["edits"] = ["belong to the decision approve"]
        elif unfit := edits.keys() - {EDITS[data["gate"]]}:
            says = f"is not what the gate {data['gate']} is about; that takes {EDITS[data['gate']]}"
            wrong["edits"] = {name: [says] for name in unfit}
        if data["scenes"] is not None and data["decision"] != "revise":
            wrong["scenes"] = ["belong to the decision revise"]
        if data["scenes"] is not None and data["gate"] in ("script", "storyboard"):
            wrong["scenes"] = [f"the gate {data['gate']} is about the whole job"]
        if data["gate"] == BUDGET and data["decision"] == "revise":
            wrong["decision"] = ["there is nothing to revise at the gate budget: approve or reject"]
        if wrong:
            raise ValidationError(wrong)

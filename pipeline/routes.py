"""The routes: which stages a job runs, in which order."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property, lru_cache

from pipeline.graph import EachScene, Gate, Node, Step, each_scene, expand, gate, gates, par, parts, prune, seq, steps
from pipeline.review import Review
from pipeline.snapshots import AvatarSnapshot, OutputSnapshot, VoiceSnapshot
from pipeline.stages.b_roll import b_roll
from pipeline.stages.background import background
from pipeline.stages.character_sheet import character_sheet
from pipeline.stages.clone_voice import clone_voice
from pipeline.stages.enhance import enhance
from pipeline.stages.lip_sync import lip_sync
from pipeline.stages.load_identity import load_identity
from pipeline.stages.neutral_image import neutral_image
from pipeline.stages.persist_identity import persist_identity
from pipeline.stages.persist_voice import persist_voice
from pipeline.stages.pose import pose
from pipeline.stages.publish import publish
from pipeline.stages.script import script
from pipeline.stages.speech import speech
from pipeline.stages.stitch import stitch
from pipeline.stages.storyboard import storyboard
from pipeline.stages.validate_images import validate_images
from pipeline.stages.validate_voice import validate_voice
from pipeline.state import shares
from pipeline.wiring import Source, check, origins, predecessors, scene_source

SCENE = seq(par(speech, background), lip_sync)
POSED = seq(par(speech, background, pose), lip_sync)
# a cutaway asks how long the speech is; and who wants poses as well is given both
CUT = seq(par(seq(speech, b_roll), background, pose), lip_sync)
# the same for scenes whose backgrounds were judged before
FILMED = seq(par(seq(speech, b_roll), pose), lip_sync)

ROUTES: dict[str, Node] = {
    "avatar_creation": seq(validate_images, neutral_image, character_sheet, persist_identity),
    # what a person sent is checked before anything is made of it
    "avatar_with_voice": seq(
        validate_images, validate_voice, neutral_image, character_sheet, clone_voice, persist_identity
    ),
    "voice_cloning": seq(validate_voice, clone_voice, persist_voice),
    "single_scene": seq(load_identity, script, storyboard, each_scene(SCENE), stitch, enhance, publish),
    "multi_scene": seq(load_identity, script, storyboard, each_scene(SCENE), stitch, enhance, publish),
    "pose_based": seq(load_identity, script, storyboard, each_scene(POSED), stitch, enhance, publish),
    "b_roll": seq(load_identity, script, storyboard, each_scene(CUT), stitch, enhance, publish),
    # a gate that nobody asked for is passed
    "approval_gated": seq(
        load_identity,
        script,
        gate("script", judges=script),
        storyboard,
        gate("storyboard", judges=storyboard),
        each_scene(background),
        gate("background", judges=background),
        each_scene(FILMED),
        gate("video_asset", judges=lip_sync),
        stitch,
        enhance,
        publish,
    ),
}
GIVEN: dict[str, type] = {
    "avatar_creation": AvatarSnapshot,
    "avatar_with_voice": AvatarSnapshot,
    "voice_cloning": VoiceSnapshot,
    "single_scene": OutputSnapshot,
    "multi_scene": OutputSnapshot,
    "pose_based": OutputSnapshot,
    "b_roll": OutputSnapshot,
    "approval_gated": OutputSnapshot,
}
for _name, _route in ROUTES.items():
    check(_route, given=GIVEN[_name])

GATES = tuple(gate.name for gate in gates(ROUTES["approval_gated"]))
STAGES = {step.stage.name: step.stage for route in ROUTES.values() for step in steps(route)}


@dataclass(frozen=True, eq=False)
class Plan:
    """A route grown to its number of scenes (None: not known yet), and what was derived from it."""

    name: str
    scenes: int | None

    @cached_property
    def route(self) -> Node:
        return ROUTES[self.name]

    @cached_property
    def given(self) -> type:
        return GIVEN[self.name]

    @cached_property
    def tree(self) -> Node:
        return expand(self.route, self.scenes)

    @cached_property
    def steps(self) -> dict[str, Step]:
        """The steps whose place in the job is known, by key, in order."""
        known = seq(*(part for part in parts(self.tree) if not isinstance(part, EachScene)))
        return {step.key: step for step in steps(known)}

    @cached_property
    def origins(self) -> dict[str, dict[str, Source]]:
        """By step key and parameter: where the value lies."""
        return origins(self.tree, self.steps.values(), given=self.given)

    @cached_property
    def predecessors(self) -> dict[str, frozenset[str]]:
        """By step key: whose outputs it reads."""
        return {key: predecessors(sources) for key, sources in self.origins.items()}

    @cached_property
    def storyboard(self) -> str | None:
        """The key of the step whose output lists the scenes."""
        source = scene_source(self.route)
        return source.key if source else None

    @cached_property
    def gates(self) -> dict[str, Gate]:
        """The gates by key, in order."""
        return {gate.key: gate for gate in gates(self.route)}

    def judged(self, gate: Gate) -> list[str]:
        """The keys of the steps whose outputs are decided about at a gate."""
        return [key for key, step in self.steps.items() if step.stage == gate.judges]

    def passed(self, review: Review) -> set[str]:
        """The gates that hold nothing up: approved, or not asked for."""
        return {key for key, gate in self.gates.items() if gate.name not in review.gates or key in review.approved}

    def left(self, satisfied: Collection[str], review: Review) -> Node:
        """What is still to be run and decided, when these steps are satisfied."""
        if review.only is not None:
            return seq(*(self.steps[key] for key in review.only if key in self.steps and key not in satisfied))
        return prune(self.tree, {*satisfied, *self.passed(review)})

    @cached_property
    def shares(self) -> dict[str, float]:
        """By step key: how much of the job it is."""
        return shares(self.route, self.tree)

    @cached_property
    def last(self) -> str:
        """The key of the step whose output is the job's result."""
        return list(self.steps)[-1]


@lru_cache(maxsize=256)
def plan(route: str, scenes: int | None = None) -> Plan:
    """The plan of a route; cached, because every claim asks for it."""
    return Plan(route, scenes)

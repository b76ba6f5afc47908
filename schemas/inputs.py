"""What a step reads, as JSON, and the digests that stand for it."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.graph import Step
from pipeline.routes import Plan
from pipeline.snapshots import Notes, Seed
from pipeline.stage import Read, Stage
from pipeline.wiring import SNAPSHOT, Origin, Source
from schemas import records as codec

GIVEN = "given"  # the part of a request that holds outputs which are there already, by step


def resolve(
    request: Mapping[str, Any], made: Plan, step: Step, outputs: Mapping[str, Any], variation: int, notes: str | None
) -> dict[str, Any]:
    """The JSON value of every parameter. `outputs`: of all steps that it reads."""

    def value(origin: Origin) -> Any:
        data: Any = request if origin.step is SNAPSHOT else outputs[origin.step]
        for part in origin.path:
            # a request or an output of an older version may lack what was added since
            data = data.get(part) if isinstance(data, dict) else data[part]
        return data

    def gather(source: Source) -> Any:
        if source is None:
            return None
        return [value(origin) for origin in source] if isinstance(source, tuple) else value(source)

    inputs = {name: gather(source) for name, source in made.origins[step.key].items()}
    for read in step.stage.reads:
        if read.type is Seed:
            inputs[read.name] = codec.dump(codec.load(inputs[read.name], Seed).varied(variation))
        elif read.type is Notes and notes is not None:
            inputs[read.name] = codec.dump(Notes(notes))
    return inputs


def load(stage: Stage, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The stage's arguments, of what `resolve` gave."""

    def value(read: Read) -> Any:
        data = inputs[read.name]
        if data is None:
            return None
        return tuple(codec.load(each, read.type) for each in data) if read.many else codec.load(data, read.type)

    return {read.name: value(read) for read in stage.reads}


def digest(step: Step, inputs: Mapping[str, Any], variation: int) -> str:
    """What an output was made of: the stage at its version, every input by its content, the variation asked for."""
    stands = {"stage": step.stage.name, "version": step.stage.version, "inputs": inputs}
    return codec.digest(stands | ({"variation": variation} if variation else {}))


def given_digest(step: Step, output: Any) -> str:
    """The same for an output that came with the request."""
    return codec.digest({"stage": step.stage.name, "version": step.stage.version, GIVEN: output})


def references(sources: Mapping[str, Source]) -> dict[str, str | Sequence[str] | None]:
    """By parameter: where its value lies, as a path a person can follow."""

    def name(origin: Origin) -> str:
        return "/".join(["snapshot" if origin.step is SNAPSHOT else origin.step, *map(str, origin.path)])

    def names(source: Source) -> str | Sequence[str] | None:
        return [name(origin) for origin in source] if isinstance(source, tuple) else name(source) if source else None

    return {parameter: names(source) for parameter, source in sources.items()}

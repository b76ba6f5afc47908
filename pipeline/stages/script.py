"""What is said."""

from dataclasses import dataclass

from pipeline.ports import ScriptWriter
from pipeline.snapshots import ScriptRequest
from pipeline.stage import minutes, stage


@dataclass(frozen=True, slots=True)
class Script:
    """`origin` is `given` or `written`: nobody's words are ever passed off as another's."""

    text: str
    origin: str


@stage(label="Writing the script", limit=minutes(2))
def script(request: ScriptRequest, *, writer: ScriptWriter) -> Script:
    if request.text is not None:
        return Script(request.text, "given")
    return Script(writer.write(request.brief or "", seconds=request.duration_s, tone=request.tone), "written")

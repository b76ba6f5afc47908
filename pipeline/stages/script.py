"""What is said."""

from dataclasses import dataclass

from pipeline.ports import ScriptWriter
from pipeline.snapshots import Notes, ScriptRequest
from pipeline.stage import minutes, stage


@dataclass(frozen=True, slots=True)
class Script:
    """`origin` is `given`, `written` or `edited`: nobody's words are ever passed off as another's."""

    text: str
    origin: str


@stage(label="Writing the script", limit=minutes(2))
def script(request: ScriptRequest, notes: Notes | None, *, writer: ScriptWriter) -> Script:
    if request.text is not None:
        return Script(request.text, "given")
    asked = notes.text if notes else None
    text = writer.write(request.brief or "", seconds=request.duration_s, tone=request.tone, notes=asked)
    return Script(text, "written")

"""The person and the name in one picture: the lower third covers no face."""

from dataclasses import dataclass

from pipeline.frame import Frame
from pipeline.ports import Title
from providers.local import region
from providers.local.faces import Face
from providers.local.framing import SHOTS, Placement, place
from providers.local.overlay import Place, title_places, title_size
from providers.local.region import Region
from providers.local.stances import Stance


@dataclass(frozen=True, slots=True)
class Arrangement:
    """The shot as it is framed; `title_at` is where the title stands, None without one."""

    shot: str
    placement: Placement
    title_at: Place | None


def arrange(
    face: Face, cutout_height: int, shot: str, frame: Frame, stance: Stance, title: Title | None
) -> Arrangement:
    """The shot that is asked for, with the title at the first of its places that is clear of the head; where none is,
    a wider shot. A photo with little body leaves no such shot in some shapes: then it is clear of the face at least."""

    def placed(name: str) -> Placement:
        return place(face, cutout_height, name, frame, aside=stance.aside, nearer=stance.nearer)

    if title is None:
        return Arrangement(shot, placed(shot), None)
    wider = list(SHOTS)[list(SHOTS).index(shot) :: -1]
    width, height = title_size(title, frame)
    places = title_places(title, frame)
    for kept, names in ((region.head, wider), (region.face, wider[-1:])):
        for name in names:
            placement = placed(name)
            clear_of = kept(face.points * placement.scale + (placement.x, placement.y))
            for x, y in places:
                if not Region(x, y, x + width, y + height).meets(clear_of):
                    return Arrangement(name, placement, (x, y))
    return Arrangement(shot, placed(shot), places[0])

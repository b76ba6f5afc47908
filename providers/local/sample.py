"""The sample portrait: the astronaut of scikit-image's data, a NASA photo in the public domain.

It shows a real person: it goes under an invented name, in videos that say they
are synthetic. `python -m providers.local.sample` brings it.
"""

import sys
from pathlib import Path

from PIL import Image

from providers.local.distribution import Member, SetupIncomplete, Wheel, cache, fetch, intact

WHEEL = Wheel("scikit-image==0.26.0", "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af")
MEMBER = Member("skimage/data/astronaut.png", "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5")
FILE = "astronaut.png"
NAMES_FROM = 334  # the row of the photo where the name tag begins


def portrait() -> Path:
    """The sample photo: 512x512 RGB PNG, 0.8 MB. Raises SetupIncomplete."""
    file = cache() / FILE
    if not intact(file, MEMBER.sha256):
        raise SetupIncomplete(f"the sample portrait is not in {file.parent}: run `python -m providers.local.sample`")
    return file


def nameless(into: Path) -> Path:
    """The portrait without the lower part, where patches on the suit have real names: a PNG in the folder `into`."""
    with Image.open(portrait()) as picture:
        picture.crop((0, 0, picture.width, NAMES_FROM)).save(into / "portrait.png")
    return into / "portrait.png"


def main() -> int:
    try:
        fetch(WHEEL, {cache() / FILE: MEMBER})
        print(f"sample portrait: {portrait()}")
    except SetupIncomplete as error:
        print(f"sample portrait: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

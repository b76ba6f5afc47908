"""A script from a brief by rules: the brief's own statements, said plainly, and nothing that it does not say."""

import re
from collections.abc import Iterator

from pipeline.errors import TextNotSpeakable
from pipeline.ports import AssetStore
from pipeline.sentences import sentences

WORDS_PER_SECOND = 2.5
STRETCH = 1.1
FRAMES = {
    "friendly": ("Hi there!", "Thanks for watching!"),
    "warm": ("Hi, and welcome!", "Thank you for being here."),
    "casual": ("Hi!", "That's it. Thanks for watching!"),
    "enthusiastic": ("Hello, and welcome!", "Thank you so much for watching!"),
    "energetic": ("Hello, and welcome!", "Thank you so much for watching!"),
    "professional": ("Hello, and welcome.", "Thank you for your time."),
    "formal": ("Good day.", "Thank you for your attention."),
    "serious": ("Hello.", "Thank you for your attention."),
    "calm": ("Hello.", "Thank you for listening."),
}
PLAIN = ("Hello.", "Thank you for watching.")
BULLET = re.compile(r"^\s*(?:[-*•–]|\d{1,2}[.)])\s+")
MADE = (
    r"(?:an?\s+|the\s+)?(?:[\w-]+\s+){0,3}?(?:video|script|clip|message|presentation|talk|speech|text|intro|introduction|"
    r"announcement)(?:\s+(?:script|video|text|clip|message))?"
)
# What is asked of the maker of the video is not for its viewers.
DIRECTION = re.compile(
    r"^(?:tone|style|length|duration|format|audience|target(?: audience)?|language|voice|title|scenes?|background|"
    r"music)\s*[:=]|^(?:please\s+)?(?:(?:keep|make) (?:it|this|the \w+)|use (?:an?|simple|plain|short|the)|avoid|"
    r"include|mention|don['’]t|do not|never|no more than|at most|about \d+ seconds|\d+ seconds)\b",
    re.IGNORECASE,
)
POLITE = r"^(?:please\s+)?(?:(?:i|we) (?:want|need|would like|['’]d like)\s+(?:to\s+)?)?"
MAKE = re.compile(
    POLITE + rf"(?:(?:write|make|create|produce|generate|record|prepare|give)\s+(?:me\s+|us\s+)?)?{MADE}\s+",
    re.IGNORECASE,
)
SAY = re.compile(POLITE + r"(?:say|tell|talk|speak|show|announce|explain|state|inform)\s+", re.IGNORECASE)
PRESENT = re.compile(
    POLITE + r"(?:introduce|announce|explain|describe|present|discuss|promote|advertise)\s+(?!(?:it|this|that|them)\b)",
    re.IGNORECASE,
)
LISTENERS = re.compile(
    r"^(?:to\s+)?(?:people|everyone|everybody|viewers|them|us|customers|employees|the (?:viewers?|audience|team))\s+",
    re.IGNORECASE,
)
STATEMENT = re.compile(r"^(?:that|saying(?: that)?|which says(?: that)?)\s+", re.IGNORECASE)
SUBJECT = re.compile(r"^(?:about|on|regarding)\s+", re.IGNORECASE)
AUDIENCE = re.compile(r"^for\s+", re.IGNORECASE)
CLAUSE = re.compile(r"^\s*(?:(?:we|i|it|you|they|he|she|this|that|there|here|let|please)\b|[-*•])", re.IGNORECASE)
FRAGMENT_WORDS = 4  # a brief of so few words without a mark names its subject


class LocalScript:
    """Writes without knowing anything: no fact, name or number that the brief does not hold."""

    name = "local"

    def __init__(self, assets: AssetStore) -> None:
        self.assets = assets

    def write(self, brief: str, *, seconds: float, tone: str, notes: str | None = None) -> str:
        """The brief's statements in order, as many as fit `seconds` (at least one; shorter is better than padded),
        between an opening and a closing by tone. Rules follow no notes. Raises TextNotSpeakable where the brief
        states nothing."""
        budget = seconds * WORDS_PER_SECOND * STRETCH
        said = list(statements(brief))
        if not said:
            raise TextNotSpeakable(
                "The brief states nothing that could be said. Describe the video's subject in a sentence."
            )
        chosen = said[:1]
        for line in said[1:]:
            if _words([*chosen, line]) > budget:
                break
            chosen.append(line)
        opening, closing = FRAMES.get(tone.strip().lower(), PLAIN)
        if _words([opening, *chosen]) <= budget:
            chosen.insert(0, opening)
            if _words([*chosen, closing]) <= budget:
                chosen.append(closing)
        return " ".join(chosen)


def statements(brief: str) -> Iterator[str]:
    """The brief's sentences in a form to say: a request becomes its subject; directions to the maker are left out."""
    lines = [BULLET.sub("", line) for line in brief.splitlines()]
    for sentence in sentences("\n\n".join(lines) if any(map(BULLET.match, brief.splitlines())) else "\n".join(lines)):
        if DIRECTION.match(sentence) or not any(map(str.isalnum, sentence)):
            continue
        stated = _stated(sentence)
        fragment = stated == brief.strip() and len(brief.split()) <= FRAGMENT_WORDS and stated[-1].isalnum()
        yield _about(stated) if fragment and not CLAUSE.match(stated) else _finished(stated)


def _stated(sentence: str) -> str:
    for form in (MAKE, SAY):
        if asked := form.match(sentence):
            rest = LISTENERS.sub("", sentence[asked.end() :])
            if STATEMENT.match(rest):
                return STATEMENT.sub("", rest)
            if SUBJECT.match(rest):
                return _about(SUBJECT.sub("", rest))
            if form is MAKE and AUDIENCE.match(rest):
                return f"This is {rest}"
    if asked := PRESENT.match(sentence):
        return _about(sentence[asked.end() :])
    return sentence


def _about(subject: str) -> str:
    return f"This is about {subject.rstrip('.!?… ')}."


def _finished(sentence: str) -> str:
    """A capital at the start, a mark at the end."""
    sentence = sentence[:1].upper() + sentence[1:] if sentence.split()[0].islower() else sentence
    sentence = sentence.rstrip(" ,;:-–—")
    return sentence if re.search(r"[.!?…][\"'”’)]*$", sentence) else sentence + "."


def _words(lines: list[str]) -> int:
    return sum(len(line.split()) for line in lines)

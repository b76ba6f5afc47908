"""Where sentences end in plain English text."""

import re

OPENING = "\"'“‘([{«*_"
CLOSING = "\"'”’)]}»*_"
END = re.compile(r"(?:[.!?…。！？]+)$")
NUMBERED = re.compile(r"^\(?\d{1,3}\.$")
EMOJI = re.compile(r"^[\u2190-\u2bff\ufe0f\u200d\U0001f000-\U0001faff]+$")
INITIALS = re.compile(r"^(?:[A-Za-z]\.)+$")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Never the last word of a sentence: a name, a number or an example follows.
LEADING = _set("""
    mr. mrs. ms. dr. prof. st. mt. ft. gen. gov. sen. rep. capt. lt. col. sgt. cmdr. rev. hon. pres. maj. adm. fr.
    messrs. e.g. i.e. cf. vs. v. viz. approx. ca. fig. figs. eq. sec. vol. pp. ed. eds. dept. univ. tel.
    jan. feb. mar. apr. jun. jul. aug. sep. sept. oct. nov. dec.
""")
# These may close a sentence or stand inside one: the next word decides.
EITHER = _set("""
    etc. inc. ltd. co. corp. jr. sr. bros. al. ave. blvd. rd. a.m. p.m. ph.d. b.a. m.a. b.sc. m.sc.
""")
STARTERS = _set("""
    a after all also although an and another are as at because before but by can could did do does each even every
    first for from have he her here his how however i if in instead is it its just last later let maybe meanwhile my
    next no not now of on once one or our over perhaps please several she should since so some soon still such that
    the their then there these they this those though to today together tomorrow until we well what when where which
    while who why will with would yes yesterday yet you your
""")


def sentences(text: str) -> tuple[str, ...]:
    """The sentences in order. Their words are the text's words: nothing is added, lost or cut.

    A blank line always ends a sentence; a single line break only after a sentence's last mark or before a list item.
    """
    found: list[list[str]] = []
    for block in re.split(r"\n\s*\n|\n(?=\s*[-*•]\s)", text):
        tokens = block.split()
        current: list[str] = []
        for token, after in zip(tokens, [*tokens, ""][1:], strict=True):
            current.append(token)
            if not after or closes(token, after, first=len(current) == 1):
                found.append(current)
                current = []
    return tuple(" ".join(sentence) for sentence in _spoken(found))


def closes(token: str, after: str, *, first: bool = False) -> bool:
    """Whether a sentence ends with this token, when `after` follows. `first`: the token also begins it."""
    core = token.rstrip(CLOSING)
    mark = END.search(core)
    if not mark:
        return False
    following = after.lstrip(OPENING)
    if following[:1].islower():
        return False
    if mark.group() != ".":
        return True
    core = core.lstrip(OPENING)
    small = core.lower()
    if small == "no.":
        return not following[:1].isdigit()
    if small in LEADING or (len(core) == 2 and core[0].isupper() and core != "I.") or (first and NUMBERED.match(core)):
        return False
    if small in EITHER or INITIALS.match(core):
        return following.rstrip(".,!?;:" + CLOSING).lower() in STARTERS
    return True


def _spoken(found: list[list[str]]) -> list[list[str]]:
    """Marks without a word, and emoji, belong to the sentence before them (or after, at the start)."""
    kept: list[list[str]] = []
    carried: list[str] = []
    for sentence in found:
        while kept and sentence and EMOJI.match(sentence[0]):
            kept[-1].append(sentence.pop(0))
        if any(character.isalnum() for token in sentence for character in token):
            kept.append(carried + sentence)
            carried = []
        elif kept:
            kept[-1].extend(sentence)
        else:
            carried += sentence
    return [*kept, carried] if carried else kept

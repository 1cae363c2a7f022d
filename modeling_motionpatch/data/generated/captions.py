"""What a person does -> sentences people would write about it.

A saying is a verb phrase with verbs in angle brackets and choices in braces: `"<wave> with {their} {side} {speed}"`.
`phrase` fills it in, conjugated as needed; `sentence` puts one or two phrases and a subject together. Choices that the
saying has no place for are appended (speed, count) or, in short captions, left out: a caption may say less than is
shown, never something else. Left is the person's own left.
"""

import re
from collections.abc import Sequence

import numpy as np

from .actions import Action, Choices


WORDS = {
    "speed": {"slow": ["slowly", "at a slow pace", "in a slow manner"], "fast": ["quickly", "fast", "rapidly", "at a fast pace"]},
    "count": {2: ["twice", "two times"], 3: ["three times"], 4: ["four times"], 5: ["five times"], 6: ["six times"]},
    "side": {"left": ["left"], "right": ["right"], "both": ["both"]},
}  # fmt: skip
_DERIVED = {  # placeholder -> (the choice it tells, value -> wordings)
    "other": ("side", {"left": ["right"], "right": ["left"]}),
    "clock": ("side", {"left": ["counterclockwise", "counter clockwise", "anticlockwise"], "right": ["clockwise"]}),
    "times": ("count", {1: ["", "once"], 2: ["twice", "two times"], 3: ["three times"], 4: ["four times"]}),
}
_APPENDED = ("count", "speed")  # choices that may stand at the end of any saying
_SUBJECTS = (  # wording, possessive, object, reflexive, weight
    ("a person", "their", "them", "themself", 10), ("the person", "their", "them", "themself", 3),
    ("person", "their", "them", "themself", 2), ("someone", "their", "them", "themself", 2),
    ("a man", "his", "him", "himself", 3), ("the man", "his", "him", "himself", 1.5),
    ("a woman", "her", "her", "herself", 1), ("a figure", "its", "it", "itself", 1.2),
    ("he", "his", "him", "himself", 0.8), ("she", "her", "her", "herself", 0.4), ("a human", "their", "them", "themself", 0.5),
)  # fmt: skip
_PAST = {
    "run": "ran", "take": "took", "make": "made", "go": "went", "get": "got", "stand": "stood", "sit": "sat", "bend": "bent",
    "do": "did", "throw": "threw", "catch": "caught", "hit": "hit", "put": "put", "drink": "drank", "eat": "ate",
    "bring": "brought", "hold": "held", "swim": "swam", "swing": "swung", "shake": "shook", "give": "gave", "kneel": "knelt",
    "lie": "lay", "rise": "rose", "creep": "crept", "come": "came", "leap": "leapt", "spin": "spun", "set": "set",
    "weave": "wove", "beckon": "beckoned", "spread": "spread",
}  # fmt: skip
_DOUBLED = frozenset(
    "run jog step trip stop skip hop squat sit get swim spin clap nod hit put set drop flap bat shrug stir chop grab rub "
    "sidestep strum".split()
)


def third(verb: str) -> str:
    """`"wave"` -> `"waves"`."""
    if verb.endswith(("s", "sh", "ch", "x", "z", "o")):
        return verb + "es"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + "s"


def ing(verb: str) -> str:
    """`"wave"` -> `"waving"`."""
    if verb == "lie":
        return "lying"
    if verb in _DOUBLED:
        return verb + verb[-1] + "ing"
    if verb.endswith("e") and not verb.endswith(("ee", "oe")):
        return verb[:-1] + "ing"
    return verb + "ing"


def past(verb: str) -> str:
    """`"wave"` -> `"waved"`."""
    if verb in _PAST:
        return _PAST[verb]
    if verb in _DOUBLED:
        return verb + verb[-1] + "ed"
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    return verb + "ed"


_FORMS = {"third": third, "ing": ing, "past": past, "base": str}


def _wordings(action: Action, choice: str, value) -> Sequence[str]:
    own = action.words.get(choice, {})
    return own[value] if value in own else WORDS.get(choice, {}).get(value, [""])


def told(action: Action, choices: Choices) -> set[str]:
    """The choices that a full caption mentions: those whose value has words."""
    return {choice for choice, value in choices.items() if any(_wordings(action, choice, value))}


def _mentions(saying: str) -> set[str]:
    names = set(re.findall(r"\{(\w+)\}", saying))
    return {_DERIVED[name][0] if name in _DERIVED else name for name in names}


def phrase(action: Action, choices: Choices, rng: np.random.Generator, full: bool = True) -> str:
    """A verb phrase with verbs still in angle brackets and `{their}`, `{them}`, `{themself}` still open.

    Args:
        action ([`Action`]): The kind of action.
        choices ([`Choices`]): What was chosen.
        rng (`np.random.Generator`): Picks the wording.
        full (`bool`): Whether everything that was chosen must be told.
    """
    sayings = list(action.phrases(choices))
    wanted = told(action, choices)
    if full:
        missing = [len(wanted - _mentions(saying) - set(_APPENDED)) for saying in sayings]
        sayings = [saying for saying, count in zip(sayings, missing) if count == min(missing)]
    saying = sayings[int(rng.integers(len(sayings)))]
    dropped = set() if full else {name for name in wanted & set(_APPENDED) if rng.random() < 0.5}
    if "count" in dropped and "{count}" in saying and None not in action.words.get("count", {None: None}):
        dropped.discard("count")  # `takes {count} forward` needs its number

    def fill(match) -> str:
        name = match.group(1)
        if name in ("their", "them", "themself"):
            return match.group(0)
        choice, table = _DERIVED.get(name, (name, None))
        if choice in dropped and table is None:
            options = action.words.get(choice, {}).get(None, [""])
        elif table is not None:
            options = table[choices[choice]]
        else:
            options = _wordings(action, choice, choices[choice])
        return options[int(rng.integers(len(options)))]

    filled = re.sub(r"\{(\w+)\}", fill, saying)
    if full:
        for choice in _APPENDED:
            if choice in wanted and choice not in _mentions(saying):
                options = _wordings(action, choice, choices[choice])
                filled += " " + options[int(rng.integers(len(options)))]
    return filled


def conjugate(text: str, form: str) -> str:
    """Verbs in angle brackets -> one of the forms `third`, `ing`, `past`, `base`."""
    return re.sub(r"<(\w+)>", lambda match: _FORMS[form](match.group(1)), text)


_THEN = (
    "{subject} {first} then {second}", "{subject} {first} and then {second}", "{subject} {first}, then {second}",
    "{subject} {first} and {second}", "{subject} {first} before {second_ing}", "after {first_ing}, {subject} {second}",
    "{subject} {first} and after that {second}", "{subject} {first}, and then {second}",
)  # fmt: skip
_WHILE = (
    "{subject} {first} while {second_ing}",
    "{subject} {second} while {first_ing}",
    "{subject} {first} and {second} at the same time",
)


def sentence(phrases: Sequence[str], joined: str, rng: np.random.Generator) -> str:
    """One or two phrases -> a sentence.

    Args:
        phrases (`Sequence[str]` of length 1 or 2): From [`phrase`].
        joined (`str`): `"then"` or `"while"`: how the two belong together.
        rng (`np.random.Generator`): Picks subject, tense and conjunction.
    """
    weights = np.array([subject[4] for subject in _SUBJECTS], float)
    subject, their, them, themself, _ = _SUBJECTS[int(rng.choice(len(_SUBJECTS), p=weights / weights.sum()))]
    draw = rng.random()
    tense = "third" if draw < 0.76 else "past" if draw < 0.90 else "is"
    forms = {}
    for name, text in zip(("first", "second"), phrases):
        forms[name] = ("is " + conjugate(text, "ing")) if tense == "is" and name == "first" else conjugate(
            text, "ing" if tense == "is" else tense)  # fmt: skip
        forms[name + "_ing"] = conjugate(text, "ing")
    if len(phrases) == 1:
        text = "{subject} {first}".format(subject=subject, **forms)
    else:
        templates = _THEN if joined == "then" else _WHILE
        template = templates[int(rng.integers(len(templates)))]
        if tense == "is" and template.startswith(("after", "{subject} {second}")):
            forms["second"] = "is " + forms["second"]
        text = template.format(subject=subject, **forms)
    text = text.format_map({"their": their, "them": them, "themself": themself})
    if their != "their":  # `to their left` inside a wording
        text = re.sub(r"\btheir\b", their, text)
        text = re.sub(r"\bof them\b|\bbehind them\b|\btowards them\b", lambda match: match.group(0)[:-4] + them, text)
    text = re.sub(r"\b(the|their|his|her|its) both\b", "both", text)
    return re.sub(r"\s+([,.])", r"\1", re.sub(r"\s+", " ", text)).strip()


def captions(
    parts: "Sequence[tuple[Action, Choices]]", joined: str, rng: np.random.Generator, count: int = 3
) -> list[str]:
    """`count` different captions of a clip, the first of which tells everything that was chosen.

    Args:
        parts (sequence of (action, choices)): One or two.
        joined (`str`): `"then"` or `"while"`.
        rng (`np.random.Generator`): Picks the wordings.
        count (`int`): How many; fewer if no more wordings are found.
    """
    found: list[str] = []
    for _attempt in range(6 * count):
        full = not found or rng.random() < 0.6
        text = sentence([phrase(action, choices, rng, full) for action, choices in parts], joined, rng)
        if text not in found:
            found.append(text)
        if len(found) == count:
            break
    return found

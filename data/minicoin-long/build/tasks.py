"""The stream: 24 tasks, each a scene, what is asked of it, and maybe another style.

All tasks end their questions with the same words, and share the questions themselves wherever they ask for the
same thing, so that neither tells the task.
"""
from collections.abc import Callable
from dataclasses import dataclass, field

import styles
from scenes import some
from sources import CELLS, GROUPS

WHAT = "what is shown in the picture?"
READ = "what is written in the picture?"
BOTH = "what is shown and what is written in the picture?"
COUNT = "how many things are in the picture?"


# ---------------------------------------------------------------- from facts to (kind, question, answer)
def name(g, f):
    yield "name", WHAT, f["name"]


def read(g, f):
    yield "read", READ, " ".join(f["signs"])


def hour(g, f):
    yield "hour", "which hour is it?", " ".join(str(f["hour"]))


def extremes(g, f):
    for word, colour in some(g, list(f["extremes"].items()), 4):
        yield "color", f"what color is the {word} one?", colour


def sides(g, f):
    for zone, colour in some(g, list(f["zones"].items()), 5):
        yield "color", f"what color is the {zone} one?", colour


def which_flag(g, f):
    a, b = f["both"]
    for c in some(g, sorted(set(a) & set(b)), 5):
        if a[c] or b[c]:
            yield "where", f"where is the {c}?", "left and right" if a[c] and b[c] else "left" if a[c] else "right"


def corners(g, f):
    """What is where: drawings, shapes or digits."""
    names, cells = f["names"], f["cells"]
    order = [int(i) for i in g.permutation(len(names))]
    for i in order:
        yield "at", f"what is at the {CELLS[cells[i]]}?", names[i]
        if names.count(names[i]) == 1:
            yield "where", f"where is the {names[i]}?", CELLS[cells[i]]
        if "colours" in f:
            yield "color", f"what color is the {names[i]}?", f["colours"][i]
    yield "count", COUNT, str(len(names))


def amounts(g, f):
    """How many of all, how many of a colour."""
    yield "count", COUNT, str(len(f["colours"]))
    for c in some(g, sorted(set(f["colours"])), 3):
        yield "some", f"how many {c} things are in the picture?", str(f["colours"].count(c))


def both(g, f):
    yield "both", BOTH, f"{f['name']} {f['signs'][0]}"
    yield "name", WHAT, f["name"]
    yield "read", READ, f["signs"][0]


# ---------------------------------------------------------------- the stream
@dataclass(frozen=True)
class Task:
    name: str
    scene: Callable                     # (studio, g, split) -> tile, facts
    ask: Callable                       # (g, facts) -> questions
    about: str                          # for people
    shares: dict = field(default_factory=dict)              # kind -> share of questions; none: as they come
    style: Callable = None              # (g, tile) -> tile
    returns: str = None                 # the task that comes back in this one
    composed: tuple = ()                # the two tasks whose skills this one needs
    most: float = 0.3                   # share of one answer among those of its kind, at most


def drawing(*classes):
    names = [n for c in classes for n in GROUPS[c]]
    return lambda s, g, split: s.drawing(g, split, names)


def scene(method, **options):
    return lambda s, g, split: getattr(s, method)(g, split, **options)


MIXED = 0.2                             # share of each other question of the domain, where several tasks have it

STREAM = [
    Task("01-living", drawing("mammal", "bird", "plant"), name, "drawings of animals and plants: their names"),
    Task("02-clothes", scene("photo"), name, "photographs of clothing: their kinds"),
    Task("03-flags", scene("flag"), sides, "flags: the colour of a side or the centre"),
    Task("04-numbers", scene("number", boards=MIXED), read, "one to three handwritten digits: read them"),
    Task("05-corners", scene("collage"), corners, "drawings in corners: mostly what is at one",
         shares=dict(at=1 - 2 * MIXED, count=MIXED, where=MIXED)),
    Task("06-food", drawing("fruit", "vegetable", "dish"), name, "drawings of food: their names"),
    Task("07-words", scene("word"), read, "words of two to four letters: spell them"),
    Task("08-shapes", scene("shapes"), corners, "shapes in corners: mostly what is at one",
         shares=dict(at=1 - 2 * MIXED, count=MIXED, color=MIXED)),
    Task("09-maps", scene("map"), extremes, "maps: the colour of the outermost country on a side"),
    Task("10-counts", scene("collage"), corners, "drawings in corners: mostly how many",
         shares=dict(count=1 - 2 * MIXED, at=MIXED, where=MIXED)),
    Task("11-clocks", scene("clock"), hour, "drawings of clocks: the hour"),
    Task("12-colors", scene("shapes"), corners, "shapes in corners: mostly the colour of one",
         shares=dict(color=1 - 2 * MIXED, count=MIXED, at=MIXED)),
    Task("13-worn", scene("photo"), name, "photographs of clothing in coloured light, blurred or dark: their kinds",
         style=styles.worn, returns="02-clothes"),
    Task("14-bars", scene("bars"), extremes, "bar charts: the colour of the outermost bar on a side"),
    Task("15-objects", drawing("vehicle", "instrument", "machine"), name, "drawings of objects: their names"),
    Task("16-places", scene("collage"), corners, "drawings in corners: mostly where one is",
         shares=dict(where=1 - 2 * MIXED, at=MIXED, count=MIXED)),
    Task("17-chalk", scene("number", boards=1 - MIXED), read, "one to three digits in chalk on a board: read them",
         returns="04-numbers"),
    Task("18-pairs", scene("flag_pair"), which_flag, "two flags: on which side a colour is", most=0.34),
    Task("19-amounts", scene("heap"), amounts, "one to six shapes: mostly how many",
         shares=dict(count=1 - MIXED, some=MIXED)),
    Task("20-sketches", drawing("mammal", "bird", "plant"), name, "grey drawings of animals and plants: their names",
         style=styles.sketch, returns="01-living"),
    Task("21-priced", scene("priced"), both, "a photograph of clothing and a digit: both",
         shares=dict(both=0.4, name=0.3, read=0.3), composed=("02-clothes", "04-numbers")),
    Task("22-reds", scene("heap"), amounts, "one to six shapes: mostly how many of one colour",
         shares=dict(some=1 - MIXED, count=MIXED), composed=("12-colors", "19-amounts"), most=0.35),
    Task("23-mixed", scene("mixed"), corners, "drawings and digits in corners: what is at one, where is one",
         shares=dict(at=0.7, where=0.3), composed=("05-corners", "04-numbers")),
    Task("24-night", drawing("fruit", "vegetable", "dish"), name, "dark drawings of food: their names",
         style=styles.night, returns="06-food"),
]

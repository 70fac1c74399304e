"""From the facts of a scene to questions: whole sentences (align), short answers (instruct), options (choose)."""
from scenes import COLORS, MAP, box_text, choice, some

PLACE = ["upper left", "upper right", "lower left", "lower right"]
ORDINAL = ["first", "second", "third", "fourth"]
PART = {"upper": "the upper body", "legs": "the legs", "long": "the whole body", "feet": "the feet", "hand": "the hand"}

WORN = {"upper": "top", "legs": "legs", "long": "body", "feet": "feet", "hand": "hand"}

def a_(name):
    return ("an " if name[0] in "aeiou" else "a ") + name


def not_shown(g, f, studio):
    """The name of a drawing that is not in the scene."""
    return choice(g, [n for n in (studio.name(g) for _ in range(8)) if n not in f["names"]] or ["moai"])


# ---------------------------------------------------------------- align: whole sentences
def align(g, kind, f, studio):
    q = []
    say = lambda ask, answer: q.append((choice(g, ask) if isinstance(ask, list) else ask, answer))
    absent = lambda: not_shown(g, f, studio)
    tell = ["describe the image.", "tell what you see.", "caption this.", "put the scene into words."]

    if kind == "single":
        n = f["names"][0]
        say(tell, f"a drawing of {n}.")
        other = absent()
        say(f"can you see {n}?", f"yes, i see {n}.") if g.random() < 0.5 else say(f"can you see {other}?", f"no, i do not see {other}.")
        options = some(g, [n] + [absent() for _ in range(3)], 4)
        say("decide between " + ", ".join(options) + ".", f"it must be {n}.")
        say(["frame the drawing.", "tell the corners of the drawing."], f"{n} lies in {box_text(f['boxes'][0])}.")
        if studio.named[n][0]:
            say(["tell the class of the drawing.", "tell what sort of thing is drawn."], f"it is a sort of {studio.named[n][0]}.")
        if n in studio.glosses and g.random() < 0.4:
            say(["explain the drawing.", "define what is drawn."], f"{n}: {studio.glosses[n]}.")
    elif kind == "collage":
        names, cells = f["names"], f["cells"]
        say(tell, "drawings of " + " and ".join(names) + ".")
        say("tell the scene part by part.", ", ".join(f"{PLACE[c]} {n}" for n, c in zip(names, cells)) + ".")
        n, c, b = names[k := g.integers(len(names))], cells[k], f["boxes"][k]
        say([f"name the drawing in the {PLACE[c]} part.", f"tell what lies {PLACE[c]}."], f"there is {n}.")
        empty = [x for x in range(4) if x not in cells]
        if empty and g.random() < 0.3:
            say(f"tell what lies {PLACE[choice(g, empty)]}.", "there is nothing.")
        if names.count(n) == 1:
            say(f"tell the place of {n}.", f"{n} is in the {PLACE[c]} part.")
            say(f"frame {n}.", f"{n} lies in {box_text(b)}.")
        k = len(names)
        say(["count the drawings.", "tell how many drawings there are."], f"there {'is' if k == 1 else 'are'} {k} drawing{'s' if k > 1 else ''}.")
        c = names.count(n)
        say(f"count the drawings of {n}.", f"{n} is drawn {c} time{'s' if c > 1 else ''}.")
        n = choice(g, names) if g.random() < 0.5 else absent()
        say(f"can you see {n}?", f"yes, i see {n}." if n in names else f"no, i do not see {n}.")
    elif kind == "clock":
        say(tell, f"a drawing of clock at {' '.join(str(f['hour']))}.")
        say(["tell the time.", "read the clock."], f"it is {' '.join(str(f['hour']))}.")
    elif kind in ("letters", "number"):
        s, many = f["signs"], len(f["signs"]) > 1
        say(["read all signs.", "list the signs from left to right.", "spell what is drawn.", "copy the text."], f"sign{'s' if many else ''} {' '.join(s)}.")
        if many:
            k = int(g.integers(len(s)))
            say([f"read sign {k + 1}.", f"read the {ORDINAL[k]} sign."], f"sign {s[k]}.")
            say("read the sign at the right end.", f"the right end is {s[-1]}.")
            say("read the sign at the left end.", f"the left end is {s[0]}.")
            say("read the signs from right to left.", f"signs {' '.join(s[::-1])}.")
            say("count the signs.", f"there are {len(s)} signs.")
            if kind == "number":
                say("tell which sign is worth most.", f"{max(s)} is worth most.")
                say("tell which sign is worth least.", f"{min(s)} is worth least.")
    elif kind == "chart":
        r, ok = f["regions"], f["ok"]
        for c in some(g, ok, 3):
            say([f"frame the {c} land.", f"tell the corners of the {c} land."], f"{c} lies in {box_text(r[c]['box'])}.")
        for word, c in f["extremes"].items():
            if g.random() < 0.5:
                say(f"tell which land is {word}.", f"{c} is {word}.")
            if g.random() < 0.4:
                say(f"frame the {word} land.", f"{c} lies in {box_text(r[c]['box'])}.")
        c, z = choice(g, ok), int(g.integers(4))
        edge = box_text((r[c]["box"][z],) * 4)[1:5]
        say(f"tell where the {['left', 'upper', 'right', 'lower'][z]} end of {c} is.", f"{c} {['starts', 'starts', 'ends', 'ends'][z]} at {edge}.")
        say("list the colors.", "colors are " + " and ".join(sorted(r)) + ".")
        c = choice(g, ok) if g.random() < 0.5 else choice(g, [x for x in MAP if x not in r])
        say(f"can you see {c}?", f"yes, i see {c}." if c in r else f"no, i do not see {c}.")
        if len(ok) > 1:
            x, y = some(g, ok, 2)
            if abs(r[x]["cx"] - r[y]["cx"]) > 0.1:
                say(f"compare {x} and {y} from left to right.", f"{x if r[x]['cx'] < r[y]['cx'] else y} is left.")
            if abs(r[x]["cy"] - r[y]["cy"]) > 0.1:
                say(f"compare {x} and {y} from top to bottom.", f"{x if r[x]['cy'] < r[y]['cy'] else y} is higher.")
    elif kind == "flag":
        have = sorted(c for c, v in f["color"].items() if v)
        if have:
            say("list the colors.", "colors are " + " and ".join(have) + ".")
        for z, c in f["zones"].items():
            w = dict(top="upper", bottom="lower", center="middle").get(z, z)
            if g.random() < 0.6:
                say([f"tell the color of the {w} part.", f"tell how the {z} is painted."], f"the {w} part is {c}.")
        for c in some(g, list(f["color"]), 3):
            say(f"can you see {c}?", f"yes, i see {c}." if f["color"][c] else f"no, i do not see {c}.")
        if f["stripes"]:
            say("describe the stripes.", f"the stripes are {f['stripes']}.")
    elif kind == "pair":
        a, b = f["two"]
        for side, x in (("left", a), ("right", b)):
            have = sorted(c for c, v in x.items() if v)
            if have:
                say(f"list the colors on the {side}.", f"{side} has " + " and ".join(have) + ".")
        for c in some(g, [c for c in COLORS if c in a and c in b], 3):
            say(f"tell where {c} is used.", f"{c} is on the " + {(1, 0): "left", (0, 1): "right", (1, 1): "left and right", (0, 0): "no side"}[a[c], b[c]] + ".")
    elif kind == "photo":
        what = {"upper": "something to wear on the upper body", "legs": "something to wear on the legs", "long": "something long to wear", "feet": "something to wear on the feet", "hand": "something to carry in the hand"}[f["part"]]
        say(tell, f"a photo of {what}." if f["quality"] else "a photo that shows nothing.")
        if f["quality"]:
            say(["recall the code of the photo.", "under which code is the photo kept?"], f"its code is {f['code']}.")
        say("tell if the photo is clear.", {None: "nothing can be seen.", "clear": "the photo is clear.", "blurred": "the photo is blurred.", "dark": "the photo is dark."}[f["quality"]])
        if "box" in f:
            say("frame the thing.", f"it lies in {box_text(f['box'])}.")
            w = choice(g, ["upper", "middle", "lower"])
            say(f"tell how wide the {w} part is.", f"the {w} part is {f['width'][w]} wide.")
        if "bright" in f:
            say("tell which half is brighter.", f"the {f['bright']} half is brighter.")
    return q


# ---------------------------------------------------------------- instruct: short answers
WORD = ["", "", "one word only.", "short answer please.", "answer in one word.", "be brief.", "just the word.", "no sentence, just the answer.", "in a word:", "(one word)", "keep it short.", "reply in brief."]
YES = ["", "", "yes or no?", "answer yes or no.", "only yes or no.", "(yes / no)", "just say yes or no.", "true? say yes or no."]
NUMBER = ["", "", "answer with a number.", "digits only.", "just the number.", "(a number)", "one number please.", "reply in digits."]
LETTER = ["answer with a letter.", "letter only.", "pick one.", "which option?", "just the letter.", "(letter)", "choose.", "mark the right one.", "reply a, b, c or d.", "the right letter:"]
SPELL = ["", "", "spell it.", "letter by letter.", "with spaces.", "spelled out.", "signs only.", "copy only."]
FRAME = ["", "", "four numbers.", "as [left, upper, right, lower].", "numbers only.", "from 0.00 to 1.00.", "(corners)", "in brackets."]
UNSURE = ["say unknown if it is useless.", "unknown if you can not see it.", "or say unknown.", "(unknown if unclear)", "unclear photo? then unknown."]
AS_YES = [("can you spot {} here?", "{} here?", "does the scene show {}?", "would you say {} is shown?", "do you notice {}?", "check for {}.", "look for {}. found?")]


def option_question(g, forms, right, wrong):
    """A question, its options in any order and layout, and the letter of the right one."""
    o = some(g, [right] + wrong, 1 + len(wrong))
    mark = choice(g, ["({})", "({})", "({})", "{}.", "{}:"])
    sep = choice(g, ["\n", "\n", " ", "; "])
    body = sep.join(f"{mark.format('abcd'[i])} {x}" for i, x in enumerate(o))
    tail = choice(g, LETTER)
    ask = choice(g, forms)
    return choice(g, [f"{ask}\n{body}\n{tail}", f"{tail} {ask}\n{body}", f"{body}\n{ask} {tail}"]), "abcd"[o.index(right)]


def instruct(g, kind, f, studio):
    q = []

    def ask(forms, suffix, answer):
        form, tail = choice(g, forms), choice(g, suffix)
        q.append((f"{tail} {form}" if tail.endswith(":") else f"{form} {tail}".strip(), answer))

    def options(forms, right, wrong):
        q.append(option_question(g, forms, right, wrong))

    def spot(thing, answer):
        ask([x.format(thing) for x in AS_YES[0]], YES, "yes" if answer else "no")

    absent = lambda: not_shown(g, f, studio)
    if kind == "single":
        n, cls = f["names"][0], studio.named[f["names"][0]][0]
        ask(["name the drawing.", "what is drawn?", "name it.", "what do you call this?", "identify the drawing.", "label the scene."], WORD, n)
        same = [x for x in studio.by_class.get(cls, []) if x != n]
        near = some(g, same, 3) if len(same) > 3 and g.random() < 0.4 else list(dict.fromkeys(absent() for _ in range(3)))
        options(["name it.", "what is drawn?", "which name fits?", "which of these do you see?"], n, near)
        if cls:
            other = some(g, [c for c in studio.by_class if c != cls], 3)
            ask(["what sort of thing is drawn?", "class of the drawing?", "what class does it fall into?", "sort?"], WORD, cls)
            options(["what sort is it?", "which class fits?", "class?", "it is a sort of"], cls, other)
            if g.random() < 0.5 and cls not in other:
                k = int(g.integers(2, 4))
                groups = [" or ".join(some(g, x, len(x))) for x in ([cls] + other[:k - 1], other[k - 1:] + some(g, [c for c in studio.by_class if c not in other + [cls]], 2))]
                options(["which list holds the class?", "in which set does the drawing fall?", "pick the set."], groups[0], groups[1:])
            c = cls if g.random() < 0.5 else other[0]
            ask([f"does it count as {a_(c)}?", f"a sort of {c}?", f"can one call it {a_(c)}?"], YES, "yes" if c == cls else "no")
        if n in studio.glosses:
            wrong = [studio.glosses[x] for x in some(g, [x for x in studio.glosses if x != n and studio.named[x][0] != cls], int(g.integers(1, 4)))]
            options(["which text explains the drawing?", "which words explain it?", "match the drawing with its meaning.", "which meaning is right?"], studio.glosses[n], wrong)
        ask(["corners of the drawing?", "where does it lie?", "frame the drawing.", "which part of the sheet does it cover?"], FRAME, box_text(f["boxes"][0]))
        m, s = (n if g.random() < 0.5 else absent()), None
        spot(m, m == n)
    elif kind == "collage":
        names, cells = f["names"], f["cells"]
        k = int(g.integers(len(names)))
        n, c, b = names[k], cells[k], f["boxes"][k]
        ask([f"what lies {PLACE[c]}?", f"name the {PLACE[c]} drawing.", f"{PLACE[c]} corner: what?", f"look {PLACE[c]}. what do you see?"], WORD, n)
        if names.count(n) == 1:
            ask([f"in which corner is {n}?", f"place of {n}?", f"find the corner of {n}.", f"which corner holds {n}?"], ["", "two words.", "say it in two words.", "like upper left."], PLACE[c])
            ask([f"corners of {n}?", f"frame {n}.", f"where does {n} lie?"], FRAME, box_text(b))
            options([f"which corner holds {n}?", f"place of {n}?"], PLACE[c], [x for x in PLACE if x != PLACE[c]])
        ask(["count the drawings.", "number of drawings?", "how many drawings do you count?", "size of the collection?"], NUMBER, str(len(names)))
        ask([f"count {n}.", f"number of {n} drawings?", f"how often do you see {n}?"], NUMBER, str(names.count(n)))
        m = choice(g, names) if g.random() < 0.5 else absent()
        spot(m, m in names)
        twin = len(set(names)) < len(names)
        if len(names) > 1 and g.random() < 0.4:
            ask(["is a drawing repeated?", "do two drawings agree?", "any drawing more than once?"], YES, "yes" if twin else "no")
        if g.random() < 0.5:
            options(["which one is shown?", "which of these do you see?"], n, list(dict.fromkeys(absent() for _ in range(3))))
    elif kind == "clock":
        ask(["time?", "read the clock.", "where does the short hand point?", "tell the time in hours.", "what time do you read?"], NUMBER, " ".join(str(f["hour"])))
    elif kind in ("letters", "number"):
        s, text = f["signs"], " ".join(f["signs"])
        ask(["read it.", "read the text.", "what do you read?", "copy the signs.", "spell the sign.", "transcribe."], SPELL if kind == "letters" else NUMBER, text)
        if len(s) > 1:
            k = int(g.integers(len(s)))
            ask([f"sign {k + 1}?", f"the {ORDINAL[k]} sign?", f"read only the {ORDINAL[k]} sign."], ["", "just one sign.", "one sign."], s[k])
            ask(["sign at the right end?", "how does it end?", "final sign?"], ["", "just one sign.", "one sign."], s[-1])
            ask(["sign at the left end?", "how does it begin?", "with which sign does it begin?"], ["", "just one sign.", "one sign."], s[0])
            ask(["number of signs?", "count the signs.", "how long is the text?"], NUMBER, str(len(s)))
            if kind == "number":
                ask(["which sign is worth most?", "maximum?", "highest of the signs?"], NUMBER, max(s))
                if g.random() < 0.4:
                    ask(["which sign is worth least?", "minimum?"], NUMBER, min(s))
        z = choice(g, s) if g.random() < 0.5 else choice(g, list("abcdefghijklmnopqrstuvwxyz") if kind == "letters" else list("0123456789"))
        ask([f"does it hold {z}?", f"is {z} one of the signs?", f"any {z} in the text?"], YES, "yes" if z in s else "no")
    elif kind == "chart":
        r, ok = f["regions"], f["ok"]
        forms = lambda x: [f"frame {x}.", f"corners of {x}?", f"which part does {x} cover?", f"{x}: where?", f"mark {x} on the map.", f"give the limits of {x}."]
        for c in some(g, ok, 2):
            ask(forms(choice(g, [f"the {c} land", f"the {c} country", c, f"the land in {c}"])), FRAME, box_text(r[c]["box"]))
        for word, c in some(g, list(f["extremes"].items()), 2):
            short = {"northernmost": "highest", "southernmost": "lowest", "westernmost": "leftmost", "easternmost": "rightmost", "largest": "biggest"}[word]
            word = choice(g, [word, short])
            ask([f"color of the {word} land?", f"how is the {word} land painted?", f"the {word} land is"], WORD, c)
            ask(forms(f"the {word} land"), FRAME, box_text(r[c]["box"]))
        c = choice(g, ok) if g.random() < 0.5 else choice(g, [x for x in MAP if x not in r])
        spot(c, c in r)
        ask(["count the colors.", "number of lands?"], NUMBER, str(len(r))) if g.random() < 0.3 else None
    elif kind == "flag":
        col, yn = f["color"], lambda v: "yes" if v else "no"
        for z, c in f["zones"].items():
            w = dict(top="upper edge", bottom="lower edge", left="left edge", right="right edge", center="middle")[z]
            if g.random() < 0.5:
                ask([f"color at the {w}?", f"{w}: which color?", f"how is the {w} painted?", f"name the color at the {w}."], WORD, c)
        for c in some(g, list(col), 2):
            spot(c, col[c])
        if len(col) > 1:
            x, y = some(g, list(col), 2)
            k = g.integers(3)
            if k == 0:
                ask([f"{x} and {y}, both used?", f"does the cloth show {x} as well as {y}?"], YES, yn(col[x] and col[y]))
            elif k == 1:
                ask([f"{x} or {y}, at least one?", f"does the cloth show {x} or {y}?"], YES, yn(col[x] or col[y]))
            else:
                ask([f"{x} without {y}?", f"does the cloth show {x} without {y}?"], YES, yn(col[x] and not col[y]))
        if f["stripes"]:
            ask(["direction of the stripes?", "how are the bands laid?", "stripes: horizontal or vertical?"], WORD, f["stripes"])
    elif kind == "pair":
        a, b = f["two"]
        for c in some(g, [c for c in COLORS if c in a and c in b], 3):
            if a[c] != b[c]:
                ask([f"which side shows {c}?", f"{c}: left or right?", f"on which side do you find {c}?"], WORD, "left" if a[c] else "right")
            else:
                ask([f"{c} on both sides?", f"do the two share {c}?"], YES, "yes" if a[c] else "no")
    elif kind == "photo":
        ok, part = f["quality"], f["part"]
        word = WORN[part]
        ask(["which part of the body is it for?", "worn where?", "for which part of the body?", "where does one wear or hold it?"], UNSURE, word if ok else "unknown")
        ask(["what is wrong with the photo?", "quality of the photo?", "how good is the photo?", "is the photo clear, dark or blurred?"], UNSURE, ok or "unknown")
        p = part if g.random() < 0.5 else choice(g, list(PART))
        ask([f"made for {PART[p]}?", f"does it go on {PART[p]}?", f"is {PART[p]} where it goes?"], UNSURE, ("yes" if p == part else "no") if ok else "unknown")
        if g.random() < 0.25:
            ask(["who made it?", "how old is it?", "where was it made?", "who owns it?", "is it new?", "read the price."], UNSURE, "unknown")
        if "box" in f:
            ask(["frame it.", "corners of the thing?", "which part of the photo does it cover?"], FRAME, box_text(f["box"]))
            if g.random() < 0.5:
                w = choice(g, ["upper", "middle", "lower"])
                ask([f"how wide is the {w} part?", f"width of the {w} part?"], ["", "as a number.", "from 0.00 to 1.00."], f["width"][w])
    return q


# ---------------------------------------------------------------- choose: the letter of an option
NAME = ["name it.", "what is drawn?", "which name fits?", "which of these do you see?", "what do you call this?", "identify the drawing.", "label the scene.", "which one is shown?"]
SORT = ["what sort is it?", "which class fits?", "class?", "it is a sort of", "what class does it fall into?", "what sort of thing is drawn?", "class of the drawing?"]
SETS = ["which list holds the class?", "in which set does the drawing fall?", "pick the set."]
LISTED = ["which option is {}?", "option of {}?", "find {}."]              # the letter of a thing that is told, not seen
READ = ["read option {}.", "name option {}.", "copy option {}."]            # and the thing of a letter
MEANING = ["which text explains the drawing?", "which words explain it?", "match the drawing with its meaning.", "which meaning is right?"]


def choose(g, kind, f, studio):
    """Options of names, far and near, classes, sets of classes, meanings, places and codes, or of what the question
    tells; and the same asked without options."""
    q = []

    def options(forms, right, wrong, least=1):
        wrong = [x for x in dict.fromkeys(wrong) if x != right][:3]
        wrong = wrong[:int(g.integers(min(least, len(wrong)), len(wrong) + 1))]
        if g.random() < 0.4:
            q.append(option_question(g, forms, right, wrong))
        else:
            o = some(g, [right] + wrong, 1 + len(wrong))
            q.append((f"{choice(g, forms)}\n{listing(o)}\n{choice(g, LETTER)}", "abcd"[o.index(right)]))

    def listing(o):
        return "\n".join(f"({'abcd'[i]}) {x}" for i, x in enumerate(o))

    def told(o):
        """The way from a thing to its letter and back, without the picture."""
        o = list(dict.fromkeys(o))[:4]
        options([x.format(o[0]) for x in LISTED], o[0], o[1:], 2)
        k = int(g.integers(len(o)))
        q.append((f"{listing(o)}\n{choice(g, READ).format('abcd'[k])}", o[k]))

    def plain(forms, answer):
        q.append((f"{choice(g, forms)} {choice(g, ['', '', 'be brief.', 'keep it short.', 'reply in brief.'])}".strip(), answer))

    absent = lambda: not_shown(g, f, studio)
    if kind == "single":
        n = f["names"][0]
        cls = studio.named[n][0]
        hint = f"(class: {cls}) " if cls and g.random() < 0.3 else ""
        options([hint + x for x in NAME], n, [absent() for _ in range(3)], 3)
        options(NAME, n, [absent() for _ in range(3)])
        told(some(g, [absent() for _ in range(3)] + [n], 4))
        near = [x for x in studio.by_class.get(cls, []) if x != n]
        if near:
            options(NAME, n, some(g, near, int(g.integers(1, 3))) + [absent(), absent()], 2)
        if cls:
            other = some(g, [c for c in studio.by_class if c != cls], len(studio.by_class))
            options(SORT, cls, other, 3)
            told(some(g, other[:3] + [cls], 4))
            k = int(g.integers(2, 5))                                   # sets; of one to four classes each
            sizes = g.integers(1, 5, size=k)
            taken, sets = 0, []
            for i, size in enumerate(sizes):
                part = ([cls] if i == 0 else []) + other[taken:taken + size - (i == 0)]
                taken += size - (i == 0)
                sets.append(" or ".join(some(g, part, len(part))))
            sets = [x for x in sets if x]
            if len(sets) > 1:
                options(SETS, sets[0], sets[1:], 3)
        if n in studio.glosses:
            wrong = [studio.glosses[x] for x in some(g, [x for x in studio.glosses if x != n], 3)]
            options(MEANING, studio.glosses[n], wrong)
            options(MEANING, studio.glosses[n], wrong[:1])
        plain(["name the drawing.", "what is drawn?", "name it.", "what do you call this?"], n)
    elif kind == "collage":
        names, cells = f["names"], f["cells"]
        for k in some(g, range(len(names)), 2):
            n, c = names[k], cells[k]
            here = [x for x in names if x != n] + [absent() for _ in range(3)]
            options([f"what lies {PLACE[c]}?", f"name the {PLACE[c]} drawing.", f"look {PLACE[c]}. what do you see?"], n, here, 2)
            plain([f"what lies {PLACE[c]}?", f"name the {PLACE[c]} drawing.", f"{PLACE[c]} corner: what?"], n)
            if names.count(n) == 1:
                options([f"which corner holds {n}?", f"place of {n}?"], PLACE[c], some(g, [x for x in PLACE if x != PLACE[c]], 3), 3)
        options(["which one is shown?", "which of these do you see?"], choice(g, names), [absent() for _ in range(3)], 3)
        told([names[0]] + [absent() for _ in range(3)])
        told(some(g, PLACE, 4))
    elif kind == "photo":
        if not f["quality"]:
            plain(["worn where?", "for which part of the body?"], "unknown")
            return q
        options(["which part of the body is it for?", "worn where?"], WORN[f["part"]], some(g, [w for w in WORN.values() if w != WORN[f["part"]]], 3))
        code = lambda: f"{chr(97 + int(g.integers(len(studio.photos))) // 26)} {chr(97 + int(g.integers(26)))}"
        options(["under which code is the photo kept?", "code of the photo?"], f["code"], [code() for _ in range(3)], 3)
        plain(["code of the photo?", "under which code is it kept?"], f["code"])
        if "box" in f:                                                  # its outline, to be told from the tile as it is
            w = choice(g, list(f["ends"]) or ["middle"])
            if w in f["ends"]:
                k = int(g.integers(2))
                plain([f"the {w} part {['starts', 'ends'][k]} at"], f["ends"][w][k])
            w = choice(g, list(f["width"]))
            plain([f"how wide is the {w} part?", f"width of the {w} part?"], f["width"][w])
    return q

"""What the scenes are made of: drawings, typefaces, and the digits and photographs of 00-pretrain."""
import json
import re
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image, ImageFont

T = 48
DATA = Path(__file__).resolve().parents[2]
PACK = DATA / "minicoin"
WORD = re.compile(r"[a-z]+(?:[-'][a-z]+)*")
TOKEN = re.compile(r"<image>|[0-9]\.[0-9]{2}|[a-z]+(?:[-'][a-z]+)*|[0-9]|[^\sa-z0-9]")


def sheet(path):
    """The tiles of a contact sheet, (n, 48, 48, 3) uint8."""
    a = np.asarray(Image.open(path).convert("RGB"))
    h, w = a.shape[:2]
    return a.reshape(h // T, T, w // T, T, 3).swapaxes(1, 2).reshape(-1, T, T, 3)


# ---------------------------------------------------------------- drawings
CONCEPTS = json.loads((PACK / "build/concepts.json").read_text())
ALIAS = {v: k for k, v in CONCEPTS["alias"].items()}
TASK_CLASS = {n: c for c, names in CONCEPTS["task1"].items() for n in names}
TASK_NAMES = set(TASK_CLASS) | {n for names in CONCEPTS["task7"].values() for n in names}
CLASS = {
    "animal-mammal": "mammal", "animal-bird": "bird", "animal-bug": "insect", "animal-reptile": "reptile",
    "animal-marine": "fish", "food-fruit": "fruit", "food-vegetable": "vegetable", "food-prepared": "dish",
    "food-asian": "dish", "food-sweet": "sweet", "drink": "drink", "place-building": "building",
    "place-religious": "building", "transport-ground": "vehicle", "transport-air": "vehicle",
    "transport-water": "vehicle", "sky & weather": "weather", "sport": "sport", "clothing": "clothing",
    "musical-instrument": "instrument", "tool": "tool", "plant-flower": "plant", "plant-other": "plant",
    "heart": "heart", "computer": "machine", "phone": "machine", "light & video": "machine",
    "book-paper": "paper", "household": "furniture", "face-smiling": "face", "geometric": "shape",
}
SKIP = {
    "alphanum", "av-symbol", "other-symbol", "arrow", "zodiac", "warning", "transport-sign", "religion", "gender",
    "keycap", "punctuation", "math", "currency", "emotion", "face-concerned", "face-affection", "face-tongue",
    "face-neutral-skeptical", "face-sleepy", "face-negative", "cat-face", "monkey-face", "sound", "lock", "mail",
    "face-hand", "face-hat", "money", "hotel", "place-map", "face-unwell",
}
KEEP = {"red heart", "envelope", "key", "bell", "ghost", "skull", "alien", "robot", "megaphone", "package", "coin", "plus"}
HOURS = "one two three four five six seven eight nine ten eleven twelve".split()


def drawings():
    """name -> (class or None, three cropped RGBA arrays), and hour -> three clock faces."""
    meta = json.loads((DATA / "atoms/emoji.json").read_text())
    a = np.asarray(Image.open(DATA / "atoms/emoji.png").convert("RGBA"))
    h, w = a.shape[:2]
    tiles = a.reshape(h // T, T, w // T, T, 4).swapaxes(1, 2).reshape(-1, T, T, 4)

    def crop(t):
        y, x = np.where(t[..., 3] > 16)
        return t[y.min():y.max() + 1, x.min():x.max() + 1]

    named, clocks = {}, {}
    for k, m in enumerate(meta):
        name, sub = m["name"].lower(), m["subgroup"]
        art = [crop(tiles[3 * k + s]) for s in range(3)]
        hour = re.fullmatch(r"(\w+) o.clock", name)
        if hour:
            clocks[HOURS.index(hour[1]) + 1] = art
            continue
        if re.search(r"-thirty$|moon| (?:face|on|with|of|in|and|from|without|behind|showing) |button|oncoming| face$", name):
            continue
        name = ALIAS.get(name, name)
        words = name.split()
        plain = all(WORD.fullmatch(x) for x in words) and len(words) <= 2
        if not plain or (sub in SKIP and name not in KEEP and name not in TASK_NAMES):
            continue
        if sub == "geometric" and ("medium" in name or "small" in name or "large" in name):
            continue
        named[name] = (TASK_CLASS.get(name, CLASS.get(sub)), art)
    return named, clocks


def glosses():
    """name -> dictionary gloss, as 00-pretrain states them."""
    out = {}
    for row in json.loads((PACK / "00-pretrain/train.json").read_text()):
        q, a = (c["value"] for c in row["conversations"])
        m = re.search(r"explain ([a-z]+)\.", q)
        if m:
            out[m[1]] = a.split(": ")[1].rstrip(".")
    return dict(sorted(out.items()))


# ---------------------------------------------------------------- typefaces (the training families of the pack)
FAMILIES = {
    "DejaVu Sans": "Bold", "DejaVu Serif": "Bold", "Lato": "Bold", "Roboto Slab": "Bold", "Open Sans": "Bold",
    "Liberation Sans": "Bold", "Liberation Serif": "Bold", "Carlito": "Bold", "Caladea": "Bold", "Vollkorn": "Bold",
    "Quicksand": "Bold", "Inconsolata": None, "Junction": None, "Cabin": "Bold", "Karla": "Bold",
    "Linux Libertine O": "Bold",
}


def fonts(size=64):
    out = []
    for family, bold in FAMILIES.items():
        for style in ("Regular", bold):
            if style:
                path = subprocess.run(["fc-match", "-f", "%{file}", f"{family}:style={style}"], check=True,
                                      capture_output=True, text=True).stdout
                assert family.split()[0].lower() in path.lower().replace("linlibertine", "linux"), (family, path)
                out.append(ImageFont.truetype(path, size))
    return out


# ---------------------------------------------------------------- digits and photographs of 00-pretrain (train split)
def captions(pattern):
    for row in json.loads((PACK / "00-pretrain/train.json").read_text()):
        q, a = (c["value"] for c in row["conversations"])
        m = re.fullmatch(pattern, a)
        if m and not re.search("echo|read sign", q):
            yield int(row["image"].split("#")[1]), m


def digits():
    """digit -> masks in 0..1, cut out of the tiles that hold one or two of them."""
    tiles, out, seen = sheet(PACK / "00-pretrain/images.png"), {d: [] for d in range(10)}, set()
    for k, m in captions(r"signs? ([0-9](?: [0-9])?)\."):
        if k in seen:
            continue
        seen.add(k)
        t = tiles[k].astype(np.float32)
        d = np.abs(t - t[0, 0]).max(2)
        mask = np.clip(d / max(40, np.percentile(d, 99.5)), 0, 1)
        mask[mask < 0.12] = 0
        vals = [int(x) for x in m[1].split()]
        cols = mask.sum(0)
        cut = [0, T]
        if len(vals) == 2:
            c = 18 + int(np.argmin(cols[18:30]))
            if cols[c] > 0.3:
                continue
            cut = [0, c, T]
        for v, a, b in zip(vals, cut, cut[1:]):
            part = mask[:, a:b]
            y, x = np.where(part > 0.15)
            if len(y) > 20:
                out[v].append(part[y.min():y.max() + 1, x.min():x.max() + 1])
    return out


PARTS = {"something to wear on the upper body": "upper", "something to wear on the legs": "legs",
         "something long to wear": "long", "something to wear on the feet": "feet",
         "something to carry in the hand": "hand"}


def photographs():
    tiles = sheet(PACK / "00-pretrain/images.png")
    got = {k: PARTS[m[1]] for k, m in captions(r"a photo of (.*)\.")}
    return [(tiles[k], part) for k, part in sorted(got.items())]

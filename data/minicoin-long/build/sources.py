"""What the pictures are made of, with a train side and a test side.

Drawings and clocks: `data/atoms` (Noto, Twemoji, Fluent) for training; for tests Noto's older drawings, cut out
of MiniCoIN's test pictures. Photographs, digits, flags and type families: as MiniCoIN divides them, without the
photographs that it uses itself. Words: tests have none that MiniCoIN trains on. Countries: by the seed alone.
"""
import csv
import gzip
import hashlib
import json
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image, ImageFont, features

T = 48
DATA = Path(__file__).resolve().parents[2]
FIRST = DATA / "minicoin"
TRAIN, TEST = SPLITS = ("train", "test")
TOKEN = re.compile(r"<image>|[0-9]\.[0-9]{2}|[a-z]+(?:[-'][a-z]+)*|[0-9]|[^\sa-z0-9]")

CONCEPTS = json.loads((FIRST / "build/concepts.json").read_text())
GROUPS = CONCEPTS["task1"]                                  # class -> names of drawings
SMALL = [n for names in CONCEPTS["task7"].values() for n in names]
HOURS = "one two three four five six seven eight nine ten eleven twelve".split()
CLOTHES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
CELLS = ["top left", "top right", "bottom left", "bottom right"]

FONTS = {
    TRAIN: ["truetype/dejavu/DejaVuSans-Bold.ttf", "truetype/dejavu/DejaVuSerif-Bold.ttf",
            "truetype/lato/Lato-Bold.ttf", "opentype/roboto/slab/RobotoSlab-Bold.otf",
            "truetype/open-sans/OpenSans-Bold.ttf", "truetype/liberation2/LiberationSans-Bold.ttf",
            "truetype/liberation2/LiberationSerif-Bold.ttf", "truetype/crosextra/Carlito-Bold.ttf",
            "truetype/crosextra/Caladea-Bold.ttf", "truetype/vollkorn/Vollkorn-Bold.ttf",
            "truetype/quicksand/Quicksand-Bold.ttf", "truetype/inconsolata/Inconsolata.otf",
            "opentype/junction/Junction.otf", "truetype/karla/Karla-Bold.otf",
            "opentype/linux-libertine/LinLibertine_RB.otf"],
    TEST: ["truetype/gentium-basic/GenBasB.ttf", "truetype/play/Play-Bold.ttf", "opentype/dosis/Dosis-Bold.otf",
           "truetype/anonymous-pro/Anonymous Pro B.ttf", "opentype/ebgaramond/EBGaramond12-Bold.otf",
           "opentype/comic-neue/ComicNeue-Bold.otf", "opentype/jura/Jura-Bold.otf",
           "truetype/mononoki/mononoki-Bold.ttf"],
}


# ---------------------------------------------------------------- pictures in files
def tiles_of(path, mode="RGB"):
    """The tiles of a contact sheet, (n, 48, 48, channels) uint8."""
    a = np.asarray(Image.open(path).convert(mode))
    h, w, c = a.shape
    return a.reshape(h // T, T, w // T, T, c).swapaxes(1, 2).reshape(-1, T, T, c)


def cropped(rgba):
    """Without the transparent margin."""
    y, x = np.where(rgba[..., 3] > 16)
    return rgba[y.min():y.max() + 1, x.min():x.max() + 1]


def cut_out(tile):
    """A drawing on paper of one colour, as RGBA: what can be reached from the border in the paper's colour is
    transparent."""
    h, w = tile.shape[:2]
    border = np.concatenate([tile[0], tile[-1], tile[:, 0], tile[:, -1]])
    colours, count = np.unique(border, axis=0, return_counts=True)
    paper = colours[count.argmax()].astype(int)
    near = np.abs(tile.astype(int) - paper).max(2) <= 12
    outside = np.zeros((h + 2, w + 2), bool)
    outside[[0, -1]] = outside[:, [0, -1]] = True
    while True:
        wider = outside.copy()
        for axis in (0, 1):
            for step in (-1, 1):
                wider |= np.roll(outside, step, axis)
        wider[1:-1, 1:-1] &= near
        wider[[0, -1]] = wider[:, [0, -1]] = True
        if (wider == outside).all():
            break
        outside = wider
    alpha = np.where(outside[1:-1, 1:-1], 0, 255).astype(np.uint8)
    return np.dstack([tile, alpha])


def rows_of(task, split):
    return json.loads((FIRST / task / f"{split}.json").read_text())


def tile_number(row):
    return int(row["image"].split("#")[1])


# ---------------------------------------------------------------- drawings and clocks
def drawings_for_training():
    """Name, or hour, -> three drawings (RGBA)."""
    alias = {v: k for k, v in CONCEPTS["alias"].items()}
    wanted = {n for names in GROUPS.values() for n in names} | set(SMALL)
    out = {}
    for k, entry in enumerate(json.loads((DATA / "atoms/emoji.json").read_text())):
        name = entry["name"].lower()
        hour = re.fullmatch(r"(\w+) o.clock", name)
        name = HOURS.index(hour[1]) + 1 if hour else alias.get(name, name)
        if name in wanted or hour:
            out[name] = k
    tiles = tiles_of(DATA / "atoms/emoji.png", "RGBA")
    return {n: [cropped(tiles[3 * k + s]) for s in range(3)] for n, k in out.items()}


def drawings_for_tests():
    """The same in Noto's older style: large ones of 01-scienceqa and 08-ocrvqa, small ones of 07-vqav2."""
    out = defaultdict(dict)
    tiles = tiles_of(FIRST / "01-scienceqa/images.png")
    for row in rows_of("01-scienceqa", "test"):
        if row["kind"] == "name":
            name = re.search(rf"\({row['answer']}\) (.*)", row["text"])[1]
            out[name][tile_number(row)] = tiles[tile_number(row)]
    tiles = tiles_of(FIRST / "08-ocrvqa/images.png")
    for row in rows_of("08-ocrvqa", "test"):
        if row["kind"] == "clock":
            out[int(row["answer"].replace(" ", ""))][tile_number(row)] = tiles[tile_number(row)]
    tiles = tiles_of(FIRST / "07-vqav2/images.png")
    for row in rows_of("07-vqav2", "test"):
        what, where = re.search(r"what is at the (.*)\?", row["text"]), re.search(r"where is the (.*)\?", row["text"])
        if what or where:
            name, cell = (row["answer"], what[1]) if what else (where[1], row["answer"])
            c, k = CELLS.index(cell), tile_number(row)
            out[name][k] = tiles[k][c // 2 * 24:c // 2 * 24 + 24, c % 2 * 24:c % 2 * 24 + 24]
    return {n: [cropped(cut_out(t)) for _, t in sorted(found.items())] for n, found in out.items()}


# ---------------------------------------------------------------- photographs and digits
def first_permutations(name, *sizes):
    """The permutations that MiniCoIN draws under a name."""
    seed = (20240605 + int(hashlib.md5(name.encode()).hexdigest()[:8], 16)) % 2**32
    state = np.random.RandomState(seed)
    return [state.permutation(n) for n in sizes]


def photographs(work):
    """split -> photographs (n, 28, 28) and classes (n) that MiniCoIN does not use."""
    folder = work / "usr/share/datasets/fashion-mnist"
    used = {TRAIN: 3150, TEST: 1440}                        # by MiniCoIN: the first of each permutation
    out = {}
    for split, prefix, order in zip(SPLITS, ("train", "t10k"), first_permutations("fashion", 60000, 10000)):
        images, labels = (gzip.open(folder / f"{prefix}-{what}-ubyte.gz").read()
                          for what in ("images-idx3", "labels-idx1"))
        free = order[used[split]:]
        out[split] = (np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)[free],
                      np.frombuffer(labels, np.uint8, offset=8)[free])
    return out


def digits(work):
    """split -> digit -> pictures (8, 8) in 0..1; MiniCoIN trains on the first 1100 and tests on later ones."""
    path = work / "usr/lib/python3/dist-packages/sklearn/datasets/data/digits.csv.gz"
    rows = np.array([r for r in csv.reader(gzip.open(path, "rt"))], np.float32)
    side = {TRAIN: rows[:1100], TEST: rows[1100:]}
    return {s: [r[r[:, 64] == d][:, :64].reshape(-1, 8, 8) / 16 for d in range(10)] for s, r in side.items()}


# ---------------------------------------------------------------- type and words
def fonts(work, size=64):
    """split -> type of the families on that side."""
    assert features.check("raqm"), "expected Pillow to lay text out with Raqm: it needs Debian's libfribidi0"
    folder = work / "usr/share/fonts"
    return {s: [ImageFont.truetype(folder / p, size) for p in FONTS[s]] for s in SPLITS}


def words():
    """split -> words of two to four letters that the base model knows."""
    known = json.loads((DATA / "pretrain/vocab.json").read_text())
    short = sorted(w for w, _ in known if re.fullmatch("[a-z]{2,4}", w))
    spelled = {row["conversations"][1]["value"].replace(" ", "") for row in rows_of("02-textvqa", TRAIN)}
    fresh = [w for w in short if w not in spelled]
    fresh = [fresh[i] for i in first_permutations("long", len(fresh))[0]]
    return {TEST: fresh[:100], TRAIN: [w for w in short if w not in fresh[:100]]}

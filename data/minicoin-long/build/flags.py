"""Flags of countries, and what can be asked of their colours."""
import numpy as np
from PIL import Image

from sources import FIRST, T, TEST, TRAIN, rows_of, tile_number, tiles_of


def flags(work):
    """split -> flags, 48 x 36. Those of tests are the ones that MiniCoIN tests, but none that looks like another."""
    every = {}
    for path in sorted((work / "usr/share/iso-flags-png-320x240").glob("[a-z][a-z].png")):
        a = np.asarray(Image.open(path).convert("RGBA"))
        y, x = np.where(a[..., 3] > 200)                    # the flag has a transparent margin and round corners
        flag = Image.fromarray(a).crop((x.min() + 2, y.min() + 2, x.max() - 1, y.max() - 1))
        paper = Image.new("RGBA", flag.size, "white")
        paper.alpha_composite(flag)
        every[path.stem] = np.asarray(paper.convert("RGB").resize((T, 36), Image.Resampling.LANCZOS))
    codes, thumbs = list(every), np.stack([thumbnail(a) for a in every.values()])
    tested = recognised(TEST, codes, thumbs) - recognised(TRAIN, codes, thumbs)
    test = [i for i, c in enumerate(codes) if c in tested]
    train = [i for i, c in enumerate(codes) if c not in tested]
    test = [i for i in test if min(((thumbs[train] - thumbs[i]) ** 2).mean((1, 2, 3))) > 300]
    return {TRAIN: [every[codes[i]] for i in train], TEST: [every[codes[i]] for i in test]}


def thumbnail(flag):
    small = Image.fromarray(flag).resize((24, 18), Image.Resampling.BOX)
    return np.asarray(small, np.float32)[2:-2, 2:-2]


def recognised(split, codes, thumbs):
    """The flags that 04-gqa shows alone in a picture."""
    tiles, out = tiles_of(FIRST / "04-gqa/images.png"), set()
    for k in sorted({tile_number(row) for row in rows_of("04-gqa", split)}):
        border = np.concatenate([tiles[k][0], tiles[k][-1], tiles[k][:, 0], tiles[k][:, -1]]).astype(int)
        colours, count = np.unique(border, axis=0, return_counts=True)
        y, x = np.where(np.abs(tiles[k] - colours[count.argmax()]).max(2) > 14)
        flag = tiles[k][y.min():y.max() + 1, x.min():x.max() + 1]
        if flag.shape[1] >= 36 and abs(flag.shape[1] * 0.75 - flag.shape[0]) <= 3:
            error = ((thumbs - thumbnail(flag)) ** 2).mean((1, 2, 3))
            if error.min() < 400:
                out.add(codes[int(error.argmin())])
    return out


def colour_name(rgb):
    """The name of a flag's colour, or None between names."""
    r, g, b = (int(v) for v in rgb)
    top, low = max(r, g, b), min(r, g, b)
    d = top - low
    if top < 60:
        return "black"
    if d < 40:
        return "white" if top > 190 else None
    hue = ((g - b) / d % 6 if top == r else (b - r) / d + 2 if top == g else (r - g) / d + 4) * 60 % 360
    for name, end in (("red", 18), ("orange", 38), ("yellow", 68), ("green", 170), ("blue", 265), (None, 335)):
        if hue < end:
            return name
    return "red"


def zones(flag):
    """The sides and the centre of a flag (36, 48) that are of one colour."""
    own = np.array([[colour_name(p) or "" for p in row] for row in flag])
    parts = dict(top=own[:5, 3:45], bottom=own[31:, 3:45], left=own[4:32, :6], right=own[4:32, 42:],
                 center=own[14:22, 18:30])
    out = {}
    for zone, part in parts.items():
        names, count = np.unique(part, return_counts=True)
        if count.max() >= 0.85 * part.size and names[count.argmax()]:
            out[zone] = str(names[count.argmax()])
    return out


def shares(flag):
    """Colour -> whether a flag has it, without doubtful ones."""
    own = np.array([[colour_name(p) or "" for p in row] for row in flag])
    out = {}
    for c in ("red", "blue", "green", "yellow", "black"):
        f = float((own == c).mean())
        if f > 0.08 or f < 0.01:
            out[c] = f > 0.08
    return out

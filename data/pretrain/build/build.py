#!/usr/bin/env python3
"""Renders data/pretrain/align, instruct and choose, and the vocabulary of the base model.
Same seed, fonts and Pillow: same files."""
import json
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from questions import align, choose, instruct
from scenes import Studio
from sources import DATA, PACK, T, TOKEN

SEED, COLUMNS, VOCABULARY = 20240611, 32, 1500
OUT = DATA / "pretrain"
SHEETS = {
    "align": (align, dict(single=4300, collage=2300, clock=350, letters=3700, number=1500, chart=5000, flag=800, pair=300, photo=1000)),
    "instruct": (instruct, dict(single=2800, collage=1000, clock=200, letters=1000, number=600, chart=2400, flag=450, pair=250, photo=700)),
    "choose": (choose, dict(single=4400, collage=1200, photo=2400)),
}
TEST = 0.02                                                             # share of tiles kept for test.json
LIMIT = dict(align=5, instruct=5, choose=9)                             # questions a tile
COUNTED = {"align", "instruct"}                                         # give the vocabulary its words; `choose` uses them


def words_within(studio, limit):
    """Drops the drawings whose names would push the vocabulary over the limit (rarest words first)."""
    known = {w for w, _ in json.loads((PACK / "vocab.json").read_text())}
    use = Counter(w for n in studio.names for w in n.split() if w not in known)
    cost = lambda n: sum(1 / use[w] for w in n.split() if w not in known)
    keep, new = [], set()
    for n in sorted(studio.names, key=lambda n: (cost(n), studio.named[n][0] is None, n)):
        extra = {w for w in n.split() if w not in known} - new
        if len(known) + len(new) + len(extra) <= limit:
            new |= extra
            keep.append(n)
    studio.names = sorted(keep)
    studio.by_class = {c: k for c, v in studio.by_class.items() if len(k := [n for n in v if n in set(keep)]) > 2}
    studio.named = {n: (c if c in studio.by_class else None, art) for n, (c, art) in studio.named.items()}


def forbidden():
    """Question lines of the eight tasks: none may occur in ours."""
    out = set()
    for task in json.loads((PACK / "tasks.json").read_text()):
        out |= set(task["paraphrases"])
        if task["name"] != "00-pretrain":
            for row in json.loads((PACK / task["name"] / "train.json").read_text()):
                out |= {x for x in row["conversations"][0]["value"].split("\n")[1:] if x[0] != "("}
    return out


def write(folder, tiles, rows):
    out = OUT / folder
    out.mkdir(parents=True, exist_ok=True)
    lines = -(-len(tiles) // COLUMNS)
    sheet = np.full((lines * COLUMNS, T, T, 3), 255, np.uint8)
    sheet[:len(tiles)] = tiles
    sheet = sheet.reshape(lines, COLUMNS, T, T, 3).swapaxes(1, 2).reshape(lines * T, COLUMNS * T, 3)
    colors = Image.fromarray(np.ascontiguousarray(sheet[::3, ::3])).quantize(256, Image.Quantize.MEDIANCUT, kmeans=1)
    palette = Image.fromarray(sheet).quantize(palette=colors, dither=Image.Dither.NONE)
    palette.save(out / "images.png", optimize=True)
    error = ((np.asarray(palette.convert("RGB"), np.float32) - sheet) ** 2).mean()
    for split, rs in rows.items():
        text = ",\n".join(json.dumps({
            "id": f"{folder}-{split}-{i}", "image": f"images.png#{k}",
            "conversations": [{"from": "human", "value": "<image>\n" + q}, {"from": "gpt", "value": a}],
        } | ({"kind": kind} if split == "test" else {}), separators=(",", ":")) for i, (k, kind, q, a) in enumerate(rs))
        (out / f"{split}.json").write_text(f"[\n{text}\n]\n")
    print(f"{folder}: {len(tiles)} tiles, {len(rows['train'])} + {len(rows['test'])} questions, {(out / 'images.png').stat().st_size / 1e6:.1f} MB, palette {10 * np.log10(65025 / error):.1f} dB")


def main():
    studio, count, taboo = Studio(), Counter(), forbidden()
    words_within(studio, VOCABULARY - 130)                              # the rest: the words of the questions
    pack = json.loads((PACK / "vocab.json").read_text())
    known = {w for w, _ in pack}
    for number, (folder, (ask, scenes)) in enumerate(SHEETS.items()):
        g = np.random.default_rng([SEED, number])
        plan = [kind for kind, n in scenes.items() for _ in range(n)]
        tiles, rows, singles = [], [], 0
        for k, i in enumerate(g.permutation(len(plan))):
            kind = plan[i]
            if kind == "single" and singles < 2 * len(studio.names):    # every drawing at least once
                n = studio.names[singles % len(studio.names)]
                tile, facts = studio.single(g, n, int(singles + singles // len(studio.names)) % 3)
                singles += 1
            else:
                tile, facts = getattr(studio, kind)(g)
            qa = ask(g, kind, facts, studio)
            qa = [qa[j] for j in sorted(g.permutation(len(qa))[:LIMIT[folder]])]
            tiles.append(np.clip(np.rint(tile), 0, 255).astype(np.uint8))
            for q, a in qa:
                assert not taboo & set(q.split("\n")) and not any(t in q for t in taboo if len(t) > 12), q
                assert not TOKEN.sub("", q + a).strip(), (q, a)
                rows.append((k, kind, q, a))
                if folder in COUNTED:
                    count.update(TOKEN.findall(q) + TOKEN.findall(a))
                else:
                    new = set(TOKEN.findall(q) + TOKEN.findall(a)) - known - set(count)
                    assert not new, (q, new)
        tested = set(g.permutation(len(tiles))[:int(TEST * len(tiles))].tolist())
        rows = dict(train=[r for r in rows if r[0] not in tested], test=[r for r in rows if r[0] in tested])
        write(folder, tiles, rows)
    vocabulary = [[w, c + count.get(w, 0)] for w, c in pack] + [[w, c] for w, c in sorted(count.items(), key=lambda x: (-x[1], x[0])) if w not in known]
    (OUT / "vocab.json").write_text(json.dumps(vocabulary, separators=(",", ":")))
    print(f"vocabulary {len(vocabulary)}, drawings {len(studio.names)}")


if __name__ == "__main__":
    main()

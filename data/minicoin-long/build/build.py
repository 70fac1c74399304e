#!/usr/bin/env python3
"""Makes MiniCoIN-Long from what fetch.sh fetched. The same seed and versions: the same files.

    build.py --work FOLDER [--seed N] [--out FOLDER]
"""
import argparse
import json
import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from scenes import Studio
from sources import FIRST, SPLITS, T, TEST, TRAIN
from tasks import STREAM

SEED, COLUMNS = 20240618, 32
QUESTIONS = {TRAIN: 576, TEST: 150}
A_TILE = 2                              # questions about one picture, at most
SCORER, PARAPHRASES = "exact_match", next(t["paraphrases"] for t in json.loads((FIRST / "tasks.json").read_text())
                                          if t["name"] == "04-gqa")
SUFFIX = PARAPHRASES[0]


def make_split(task, split, studio, g, seen):
    """Tiles, and rows (tile, kind, question, answer) in random order. `seen` keeps pictures from coming twice."""
    total = QUESTIONS[split]
    quota = {k: round(total * s) for k, s in task.shares.items()} or None
    asked, answers, tiles, rows = Counter(), defaultdict(Counter), [], []
    while len(rows) < total:
        tile, facts = task.scene(studio, g, split)
        if task.style:
            tile = task.style(g, tile)
        tile = np.clip(np.rint(tile), 0, 255).astype(np.uint8)
        taken = []
        for kind, question, answer in task.ask(g, facts):
            room = quota[kind] if quota and kind in quota else 0 if quota else total
            if asked[kind] >= room or len(rows) + len(taken) >= total or kind in [k for k, _, _ in taken]:
                continue
            if answers[kind][answer] >= math.ceil(task.most * room):
                continue
            taken.append((kind, question, answer))
            asked[kind] += 1
            answers[kind][answer] += 1
            if len(taken) == A_TILE:
                break
        if taken and tile.tobytes() not in seen:
            seen.add(tile.tobytes())
            rows += [(len(tiles), *t) for t in taken]
            tiles.append(tile)
        else:
            for kind, _, answer in taken:
                asked[kind] -= 1
                answers[kind][answer] -= 1
    return tiles, [rows[int(i)] for i in g.permutation(len(rows))]


def sheet_of(tiles):
    """The contact sheet, in at most 256 colours, and how near it is to the tiles in decibels."""
    lines = -(-len(tiles) // COLUMNS)
    a = np.full((lines * COLUMNS, T, T, 3), 255, np.uint8)
    a[:len(tiles)] = tiles
    a = np.ascontiguousarray(a.reshape(lines, COLUMNS, T, T, 3).swapaxes(1, 2).reshape(lines * T, COLUMNS * T, 3))
    colours = Image.fromarray(a).quantize(256, Image.Quantize.MEDIANCUT, kmeans=2)
    sheet = Image.fromarray(a).quantize(palette=colours, dither=Image.Dither.NONE)
    error = float(((np.asarray(sheet.convert("RGB"), np.float64) - a) ** 2).mean())
    return sheet, round(10 * math.log10(65025 / error), 1) if error else None


def write(path, rows):
    path.write_text("[\n" + ",\n".join(json.dumps(r, separators=(",", ":")) for r in rows) + "\n]\n")


def majority(rows):
    """Percent of test answers that a constant gets right: one for all, and one for each question."""
    by, every = defaultdict(Counter), Counter()
    for _, _, question, answer in rows[TRAIN]:
        by[question][answer] += 1
        every[answer] += 1
    best = every.most_common(1)[0][0]
    given = {q: c.most_common(1)[0][0] for q, c in by.items()}
    hits = [(a == best, a == given.get(q, best)) for _, _, q, a in rows[TEST]]
    return tuple(round(100 * float(x), 1) for x in np.mean(hits, 0))


def make_task(task, number, studio, seed, out):
    folder, seen, tiles, rows = out / task.name, set(), [], {}
    folder.mkdir(parents=True, exist_ok=True)
    for side, split in enumerate(SPLITS):
        g = np.random.default_rng([seed, number, side])
        new, rows[split] = make_split(task, split, studio, g, seen)
        rows[split] = [(k + len(tiles), *r) for k, *r in rows[split]]
        tiles += new
    sheet, psnr = sheet_of(tiles)
    sheet.save(folder / "images.png", optimize=True)
    text = lambda q: f"{q}\n{SUFFIX}"
    write(folder / "train.json", [
        {"id": f"{task.name}-train-{i}", "image": f"images.png#{k}",
         "conversations": [{"from": "human", "value": f"<image>\n{text(q)}"}, {"from": "gpt", "value": a}]}
        for i, (k, _, q, a) in enumerate(rows[TRAIN])])
    write(folder / "test.json", [
        {"question_id": f"{task.name}-test-{i}", "image": f"images.png#{k}", "text": text(q), "answer": a, "kind": kind}
        for i, (k, kind, q, a) in enumerate(rows[TEST])])
    one, given = majority(rows)
    entry = dict(name=task.name, about=task.about, scorer=SCORER, suffix=SUFFIX, paraphrases=PARAPHRASES,
                 returns=task.returns, composed=list(task.composed), palette_psnr_db=psnr,
                 counts={s: len(rows[s]) for s in SPLITS}, tiles={s: len({r[0] for r in rows[s]}) for s in SPLITS},
                 majority_percent=one, majority_given_question_percent=given)
    print(f"{task.name}: {len(tiles)} tiles, {(folder / 'images.png').stat().st_size / 1e6:.2f} MB, palette {psnr} dB, "
          f"majority {one} and {given} %, {len({r[3] for r in rows[TEST]})} answers", flush=True)
    return entry


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="what fetch.sh filled")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--tasks", nargs="*", help="only these, without tasks.json")
    options = parser.parse_args()
    studio = Studio(options.work, options.seed)
    entries = [make_task(task, number, studio, options.seed, options.out) for number, task in enumerate(STREAM, 1)
               if not options.tasks or task.name in options.tasks]
    if not options.tasks:
        (options.out / "tasks.json").write_text(json.dumps(entries, indent=1) + "\n")


if __name__ == "__main__":
    main()

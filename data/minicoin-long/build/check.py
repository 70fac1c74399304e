#!/usr/bin/env python3
"""Checks what the pack promises, and prints its tasks.  check.py [--out FOLDER]

Every word is the base model's, no picture of a test is in any train split (of this pack, of MiniCoIN or of the
pretraining data), no question comes twice about a picture, no constant answers half of a test, and all of it fits
in 12 MB.
"""
import argparse
import json
from collections import Counter
from pathlib import Path

from sources import DATA, SPLITS, TEST, TOKEN, TRAIN, tile_number, tiles_of

MOST_BYTES, MOST_BY_A_CONSTANT = 12_000_000, 45
OTHERS = sorted(p.parent for p in [*DATA.glob("minicoin/0*/train.json"), *DATA.glob("pretrain/*/train.json")])


def text(row):
    """Question and answer of a row of either form."""
    if "conversations" in row:
        return tuple(c["value"] for c in row["conversations"])
    return row["text"], row["answer"]


def pictures(folder, split):
    """The pixels of each picture of a split, and its rows."""
    rows, tiles = json.loads((folder / f"{split}.json").read_text()), tiles_of(folder / "images.png")
    return {tiles[k].tobytes() for k in {tile_number(r) for r in rows}}, rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1])
    out = parser.parse_known_args()[0].out
    words = {w for w, _ in json.loads((DATA / "pretrain/vocab.json").read_text())}
    infos = json.loads((out / "tasks.json").read_text())
    assert len(infos) == 24 and sum(len(i["composed"]) == 2 for i in infos) == 3, "24 tasks, three of them composed"
    assert len({i["suffix"] for i in infos}) == 1, "one instruction for all"
    seen = {TRAIN: set(), TEST: set()}
    for number, info in enumerate(infos):
        earlier = {i["name"] for i in infos[:number]}
        assert set(info["composed"] + ([info["returns"]] if info["returns"] else [])) <= earlier, info["name"]
        assert info["majority_given_question_percent"] < MOST_BY_A_CONSTANT, info["name"]
        for split in SPLITS:
            tiles, rows = pictures(out / info["name"], split)
            assert len(rows) == info["counts"][split] and len(tiles) == info["tiles"][split], info["name"]
            assert len({(r["image"], text(r)[0]) for r in rows}) == len(rows), f"{info['name']}: a question twice"
            for token in {t for r in rows for t in TOKEN.findall(" ".join(text(r)))}:
                assert token in words, f"{info['name']}: the base model does not know '{token}'"
            assert not any(TOKEN.sub("", " ".join(text(r))).strip() for r in rows), info["name"]
            seen[split] |= tiles
        answers = Counter(text(r)[1] for r in rows)
        common = ", ".join(f"{a} {n}" for a, n in answers.most_common(3))
        print(f"{info['name']:12} {len(rows)} test questions, {len(answers):3} answers, most often {common}")
    assert not seen[TRAIN] & seen[TEST], "a test picture is in a train split"
    for folder in OTHERS:
        assert not pictures(folder, TRAIN)[0] & seen[TEST], f"a test picture is in {folder}/train.json"
    size = sum(p.stat().st_size for p in out.rglob("*") if p.is_file() and ".work" not in p.parts)
    assert size <= MOST_BYTES, f"{size} bytes"
    print(f"{len(seen[TRAIN])} + {len(seen[TEST])} pictures, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

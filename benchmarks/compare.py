#!/usr/bin/env python3
"""Joins what layers.cpp and pytorch_layers.py measured into one Markdown table.

    layers --benchmark_out=ours.json --benchmark_out_format=json
    python3 pytorch_layers.py --json torch.json
    python3 compare.py ours.json torch.json

`ratio` is PyTorch's time in float by ours: in float, and with bfloat16 storage of the weight.
"""
import json
import sys


def ours(path):
    cells = {}
    for run in json.load(open(path))["benchmarks"]:
        if run.get("run_type") == "aggregate":
            continue
        name, *arguments = run["name"].split("/")
        a = dict(argument.split(":") for argument in arguments if ":" in argument)
        key = (name, int(a["tokens"]), int(a["d"]), int(a["threads"]))
        cells.setdefault(key, {})["bf16" if a["bf16"] == "1" else "float"] = run
    return cells


def torch(path):
    return {(row["layer"], row["tokens"], row["d"], row["threads"]): row
            for row in json.load(open(path))["rows"] if row["dtype"] == "float32"}


def main():
    mine, theirs = ours(sys.argv[1]), torch(sys.argv[2])
    print("| layer | tokens | d | threads | predicted | overhead | PyTorch's overhead | ms | bf16 ms "
          "| PyTorch ms | ratio | ratio, bf16 |\n|---|---|---|---|---|---|---|---|---|---|---|---|")
    number = lambda value, digits: "–" if value is None else f"{value:.{digits}f}"
    for key in mine:
        full, half, peer = mine[key].get("float"), mine[key].get("bf16"), theirs.get(key)
        get = lambda run, field: run and run[field]
        time, half_time, peer_time = (get(run, "adapted_ms") for run in (full, half, peer))
        ratio = lambda t: peer_time / t if peer_time and t else None
        print("| " + " | ".join([
            *map(str, key), number(get(full or half, "predicted"), 3),
            number(get(full, "overhead"), 3), number(get(peer, "overhead"), 3), number(time, 1),
            number(half_time, 1), number(peer_time, 1), number(ratio(time), 2),
            number(ratio(half_time), 2)]) + " |")


if __name__ == "__main__":
    main()

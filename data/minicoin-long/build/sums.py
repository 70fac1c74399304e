#!/usr/bin/env python3
"""Writes SHA256SUMS of all files of the pack.  sums.py [--out FOLDER]"""
import argparse
import hashlib
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1])
out = parser.parse_known_args()[0].out
files = sorted(p.relative_to(out) for p in out.rglob("*") if p.is_file() and p.name != "SHA256SUMS")
names = [p for p in files if not {".work", "__pycache__"} & set(p.parts)]
(out / "SHA256SUMS").write_text("".join(f"{hashlib.sha256((out / n).read_bytes()).hexdigest()}  {n}\n" for n in names))

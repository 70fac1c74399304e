#!/usr/bin/env python3
"""The layers of layers.cpp in PyTorch: one forward and one backward pass (the gradient of the input
and of every parameter of the adapter) of a square linear layer with a frozen weight.

Each variant is written as fast as PyTorch allows: every branch in one wide product, gates of
branches that were not chosen set to zero, the result added in place. "naive loop" is the form of
CoIN's own code, one pair of products for each expert. Each iteration times the frozen layer alone
and then the variant; medians are printed, and the median of the ratios.

    python3 pytorch_layers.py --threads 1 --json layers.json
"""
import argparse
import ctypes
import json
import platform
import statistics
import time

import torch
import torch.nn.functional as F

SEQUENCE = 128
SCALE = 2.0


def keep_freed_pages():
    """Lets glibc keep what is freed: worth up to a sixth of the time of large layers."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-4, 0)  # M_MMAP_MAX
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        mallopt(-2, 2**28)  # M_TOP_PAD
    except AttributeError:
        pass


def gates_of(logits, k):
    if k == logits.shape[-1]:
        return logits.softmax(-1)
    best, chosen = logits.topk(k, -1)
    return torch.zeros_like(logits).scatter(-1, chosen, best.softmax(-1))


class Lora:
    def __init__(self, new, d, rank):
        self.a, self.b = new(rank, d), new(rank, d)

    def parameters(self):
        return [self.a, self.b]

    def __call__(self, x, y):
        return y.addmm_(F.linear(x, self.a), self.b, alpha=SCALE)


class Moe:
    """Router and trunk in one matrix where both read every token."""

    def __init__(self, new, d, rank, branches, top_k, shared, by_sequence=False):
        self.rank, self.branches, self.top_k = rank, branches, top_k
        self.shared, self.by_sequence = shared, by_sequence
        self.rows = rank if shared else rank * branches
        self.a = new(self.rows + (0 if by_sequence else branches), d)
        self.router = new(branches, d) if by_sequence else None
        self.b = new(rank * branches, d)

    def parameters(self):
        return [p for p in (self.a, self.b, self.router) if p is not None]

    def __call__(self, x, y):
        down = F.linear(x, self.a)
        if self.by_sequence:
            u = down
            g = gates_of(F.linear(x[::SEQUENCE], self.router), self.top_k)
            g = g.repeat_interleave(SEQUENCE, 0)
        else:
            u, logits = down.split([self.rows, self.branches], 1)
            g = gates_of(logits, self.top_k)
        u = u.unsqueeze(1) if self.shared else u.view(len(x), self.branches, self.rank)
        return y.addmm_((g.unsqueeze(2) * u).view(len(x), -1), self.b, alpha=SCALE)


class NaiveMoe:
    def __init__(self, new, d, rank, branches):
        self.a = [new(rank, d) for _ in range(branches)]
        self.b = [new(d, rank) for _ in range(branches)]
        self.router = new(branches, d)

    def parameters(self):
        return [*self.a, *self.b, self.router]

    def __call__(self, x, y):
        g = F.linear(x, self.router).softmax(-1)
        for i, (a, b) in enumerate(zip(self.a, self.b)):
            y = y + g[:, i : i + 1] * F.linear(F.linear(x, a), b) * SCALE
        return y


VARIANTS = {
    "LoRA r32": lambda new, d: Lora(new, d, 32),
    "MoELoRA 8x4": lambda new, d: Moe(new, d, 4, 8, 8, False),
    "MoELoRA 8x4, naive loop": lambda new, d: NaiveMoe(new, d, 4, 8),
    "MoELoRA 8x4, shared trunk": lambda new, d: Moe(new, d, 4, 8, 8, True),
    "MoELoRA 8x4, top-2": lambda new, d: Moe(new, d, 4, 8, 2, False),
    "MoELoRA 8x4, shared trunk, top-2": lambda new, d: Moe(new, d, 4, 8, 2, True),
    "HydraLoRA 8x4": lambda new, d: Moe(new, d, 4, 8, 8, True),
    "BranchLoRA 8x4, top-2 by sequence": lambda new, d: Moe(new, d, 4, 8, 2, True, True),
    "BranchLoRA 8x4, top-2 by token": lambda new, d: Moe(new, d, 4, 8, 2, True),
    "MoELoRA 8x32": lambda new, d: Moe(new, d, 32, 8, 8, False),
    "MoELoRA 8x32, top-2": lambda new, d: Moe(new, d, 32, 8, 2, False),
    "HydraLoRA 8x32": lambda new, d: Moe(new, d, 32, 8, 8, True),
    "BranchLoRA 8x32, top-2 by sequence": lambda new, d: Moe(new, d, 32, 8, 2, True, True),
    "BranchLoRA 8x32, top-2 by token": lambda new, d: Moe(new, d, 32, 8, 2, True),
}


def measure(name, tokens, d, dtype, seconds, compiled):
    torch.manual_seed(1)

    def new(rows, cols):
        return (torch.randn(rows, cols) / cols**0.5).to(dtype).requires_grad_()

    w = new(d, d).detach()
    x = torch.randn(tokens, d).to(dtype).requires_grad_()
    dy = torch.randn(tokens, d).to(dtype)
    adapter = VARIANTS[name](new, d)
    layer = lambda x: adapter(x, F.linear(x, w))
    if compiled:
        layer = torch.compile(layer)

    def step(forward):
        x.grad = None
        for p in adapter.parameters():
            p.grad = None
        start = time.perf_counter()
        forward(x).backward(dy)
        return time.perf_counter() - start

    frozen, adapted = [], []
    end = None
    while end is None or time.perf_counter() < end or len(adapted) < 5:
        f, a = step(lambda x: F.linear(x, w)), step(layer)
        if end is None:  # the first iteration warms up, and may compile
            end = time.perf_counter() + seconds
            continue
        frozen.append(f)
        adapted.append(a)
    return {
        "frozen_ms": 1e3 * statistics.median(frozen),
        "adapted_ms": 1e3 * statistics.median(adapted),
        "overhead": statistics.median(a / f for a, f in zip(adapted, frozen)),
        "iterations": len(adapted),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--d", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--dtype", nargs="+", default=["float32"])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each cell")
    parser.add_argument("--compile", action="store_true", help="through torch.compile")
    parser.add_argument("--json", help="file to write")
    options = parser.parse_args()
    keep_freed_pages()
    machine = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "build": [line.strip() for line in torch.__config__.show().split("\n") if "MKL" in line],
        "compile": options.compile,
    }
    print(f"PyTorch {machine['torch']}, {machine['capability']}, {'; '.join(machine['build'][:2])}\n")
    print("| layer | tokens | d | threads | dtype | frozen ms | adapted ms | overhead |")
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        for dtype in options.dtype:
            for d in options.d:
                for tokens in options.tokens:
                    for name in options.variants:
                        row = {"layer": name, "tokens": tokens, "d": d, "threads": threads,
                               "dtype": dtype}
                        row |= measure(name, tokens, d, getattr(torch, dtype), options.seconds,
                                       options.compile)
                        rows.append(row)
                        print(f"| {name} | {tokens} | {d} | {threads} | {dtype} "
                              f"| {row['frozen_ms']:.2f} | {row['adapted_ms']:.2f} "
                              f"| {row['overhead']:.3f} |", flush=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"machine": machine, "rows": rows}, file, indent=2)
            file.write("\n")


if __name__ == "__main__":
    main()

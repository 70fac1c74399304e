#!/usr/bin/env python3
"""The training step of ladder_step.cpp in PyTorch: a frozen LLaMA-style decoder of 4 layers with
adapters on its seven linears, a trained projector over image features, 16 sequences of 40 to 56
tokens padded to the longest, cross-entropy on the answers alone, gradient clipping, fused AdamW.

Adapters are in the fastest form of pytorch_layers.py; attention is
`scaled_dot_product_attention`. Vision features are given, as the tower is frozen.

    python3 pytorch_ladder.py --threads 1
"""
import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

from pytorch_layers import gates_of, keep_freed_pages

BATCH, IMAGE_TOKENS, FEATURES = 16, 16, 512
VOCABULARY, WIDTH, LAYERS, HEADS, HIDDEN = 1332, 160, 4, 5, 416
ANSWER = 3
LENGTHS = [40 + 7 * i % 17 for i in range(BATCH)]
ALPHA = 64.0


class Adapted(nn.Module):
    """A frozen linear with an adapter: `kind` is lora, moe (dense, by token), branch (shared trunk,
    top-2 by the first token) or naive (moe as a loop over experts)."""

    def __init__(self, d_in, d_out, kind):
        super().__init__()
        self.kind = kind
        self.weight = nn.Parameter(torch.randn(d_out, d_in) / d_in**0.5, requires_grad=False)
        new = lambda rows, cols, scale: nn.Parameter(scale * torch.randn(rows, cols))
        if kind == "naive":
            self.a = nn.ParameterList(new(4, d_in, 0.01) for _ in range(8))
            self.b = nn.ParameterList(new(d_out, 4, 0.0) for _ in range(8))
            self.router = new(8, d_in, d_in**-0.5)
            return
        self.rows = 4 if kind == "branch" else 32
        self.a = new(self.rows + (8 if kind == "moe" else 0), d_in, 0.01)
        self.b = new(32, d_out, 0.0)
        if kind == "branch":
            self.router = new(8, d_in, d_in**-0.5)

    def forward(self, x):
        batch, length, _ = x.shape
        if self.kind == "naive":
            y = F.linear(x, self.weight)
            g = F.linear(x, self.router).softmax(-1)
            for i in range(8):
                y = y + g[..., i : i + 1] * F.linear(F.linear(x, self.a[i]), self.b[i]) * (ALPHA / 32)
            return y
        flat = x.reshape(batch * length, -1)
        y = F.linear(flat, self.weight)
        z = F.linear(flat, self.a)
        if self.kind == "moe":
            u, logits = z.split([32, 8], 1)
            z = (logits.softmax(-1).unsqueeze(2) * u.view(-1, 8, 4)).view(-1, 32)
        elif self.kind == "branch":
            g = gates_of(F.linear(x[:, 0], self.router), 2)
            z = (g[:, None, :, None] * z.view(batch, length, 1, 4)).view(-1, 32)
        return y.addmm_(z, self.b, alpha=ALPHA / 32).view(batch, length, -1)


class Block(nn.Module):
    def __init__(self, kind):
        super().__init__()
        new = lambda d_in, d_out: Adapted(d_in, d_out, kind)
        self.q, self.k, self.v, self.o = (new(WIDTH, WIDTH) for _ in range(4))
        self.gate, self.up, self.down = new(WIDTH, HIDDEN), new(WIDTH, HIDDEN), new(HIDDEN, WIDTH)
        self.norm1 = nn.RMSNorm(WIDTH, eps=1e-6).requires_grad_(False)
        self.norm2 = nn.RMSNorm(WIDTH, eps=1e-6).requires_grad_(False)

    def forward(self, x, cos, sin):
        batch, length, _ = x.shape
        heads = lambda t: t.view(batch, length, HEADS, -1).transpose(1, 2)

        def rotate(t):
            left, right = t.chunk(2, -1)
            return torch.cat([left * cos - right * sin, right * cos + left * sin], -1)

        h = self.norm1(x)
        q, k, v = rotate(heads(self.q(h))), rotate(heads(self.k(h))), heads(self.v(h))
        # Padding is on the right, so the causal mask hides it.
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(a.transpose(1, 2).reshape(batch, length, WIDTH))
        h = self.norm2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Model(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.projector = nn.Sequential(nn.Linear(FEATURES, WIDTH), nn.GELU(),
                                       nn.Linear(WIDTH, WIDTH))
        self.embedding = nn.Embedding(VOCABULARY, WIDTH).requires_grad_(False)
        self.blocks = nn.ModuleList(Block(kind) for _ in range(LAYERS))
        self.norm = nn.RMSNorm(WIDTH, eps=1e-6).requires_grad_(False)
        angle = torch.outer(torch.arange(256.0), 1e4 ** -(torch.arange(0, 32, 2) / 32))
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def forward(self, features, ids, rows, targets):
        x = torch.cat([self.projector(features), self.embedding(ids) * WIDTH**0.5], 1)
        length = x.shape[1]
        for block in self.blocks:
            x = block(x, self.cos[:length], self.sin[:length])
        h = self.norm(x.view(-1, WIDTH)[rows])
        return F.cross_entropy(F.linear(h, self.embedding.weight), targets)


KINDS = {"LoRA r32": "lora", "MoELoRA 8x4": "moe", "MoELoRA 8x4, naive loop": "naive",
         "BranchLoRA 8x4, top-2": "branch"}


def measure(kind, seconds, compiled):
    torch.manual_seed(1)
    model = Model(kind)
    trained = [p for p in model.parameters() if p.requires_grad]
    forward = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(trained, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    longest = max(LENGTHS)
    features = torch.randn(BATCH, IMAGE_TOKENS, FEATURES)
    ids = torch.randint(VOCABULARY, (BATCH, longest - IMAGE_TOKENS))
    rows = torch.tensor([i * longest + n - ANSWER + j for i, n in enumerate(LENGTHS)
                         for j in range(ANSWER)])
    targets = torch.randint(VOCABULARY, (len(rows),))

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = forward(features, ids, rows, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0, foreach=True)
        optimizer.step()

    for _ in range(5):
        step()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    return {"step_ms": statistics.median(times), "steps": len(times),
            "trainable": sum(p.numel() for p in trained)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--variants", nargs="+", default=list(KINDS), metavar="NAME")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each variant")
    parser.add_argument("--compile", action="store_true", help="through torch.compile")
    parser.add_argument("--json", help="file to write")
    options = parser.parse_args()
    keep_freed_pages()
    print(f"PyTorch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, "
          f"tokens {sum(LENGTHS)}, padded {BATCH * max(LENGTHS)}\n")
    print("| method | threads | ms a step | trainable |\n|---|---|---|---|")
    rows = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        for name in options.variants:
            row = {"method": name, "threads": threads, "torch": torch.__version__,
                   "compile": options.compile}
            row |= measure(KINDS[name], options.seconds, options.compile)
            rows.append(row)
            print(f"| {name} | {threads} | {row['step_ms']:.2f} | {row['trainable']} |", flush=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=2)
            file.write("\n")


if __name__ == "__main__":
    main()

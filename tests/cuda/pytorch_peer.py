#!/usr/bin/env python3
"""The layers of benchmark.cu in PyTorch on the same GPU, in bfloat16: forward and backward with the
gradient of the input and of every parameter of the adapter. LoRA is peft's layer where peft is
installed, else the same three products; mixtures are written as CoIN does, one pair of products for
each expert. Prints a Markdown table of medians, eager and through torch.compile; what can not be
measured is named in its row.

    python3 pytorch_peer.py --tokens 2048 16384 --seconds 90
"""
import argparse
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

SEQUENCE = 512
RANK, BRANCHES, CHOSEN = 16, 8, 2
SCALE = 1.0


class Frozen(nn.Module):
    def __init__(self, d_in, d_out):
        super().__init__()
        self.base = nn.Linear(d_in, d_out, bias=False)
        self.base.weight.requires_grad_(False)

    def forward(self, x):
        return self.base(x)


class Lora(Frozen):
    def __init__(self, d_in, d_out):
        super().__init__(d_in, d_out)
        self.a = nn.Linear(d_in, RANK, bias=False)
        self.b = nn.Linear(RANK, d_out, bias=False)

    def forward(self, x):
        return self.base(x) + SCALE * self.b(self.a(x))


def peft_lora(d_in, d_out):
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=RANK, lora_alpha=RANK, lora_dropout=0.0, target_modules=["base"])
    return get_peft_model(Frozen(d_in, d_out), config)


class Mixture(Frozen):
    """Experts in a loop: each with an A of its own and every one used (MoELoRA), or with one A for
    all and two chosen for each sequence by its first token (BranchLoRA)."""

    def __init__(self, d_in, d_out, shared):
        super().__init__(d_in, d_out)
        self.shared = shared
        trunks = 1 if shared else BRANCHES
        self.a = nn.ModuleList(nn.Linear(d_in, RANK, bias=False) for _ in range(trunks))
        self.b = nn.ModuleList(nn.Linear(RANK, d_out, bias=False) for _ in range(BRANCHES))
        self.router = nn.Linear(d_in, BRANCHES, bias=False)

    def gates(self, x):
        if not self.shared:
            return self.router(x).softmax(-1)
        logits = self.router(x[::SEQUENCE])
        best, chosen = logits.topk(CHOSEN, -1)
        gates = torch.zeros_like(logits).scatter(-1, chosen, best.softmax(-1))
        return gates.repeat_interleave(SEQUENCE, 0)[: len(x)]

    def forward(self, x):
        y = self.base(x)
        gates = self.gates(x)
        for i, b in enumerate(self.b):
            a = self.a[0] if self.shared else self.a[i]
            y = y + gates[:, i : i + 1] * SCALE * b(a(x))
        return y


LAYERS = {
    "frozen": Frozen,
    "LoRA, three products": Lora,
    "LoRA, peft": peft_lora,
    "MoELoRA, a loop over experts": lambda i, o: Mixture(i, o, False),
    "BranchLoRA, a loop over experts": lambda i, o: Mixture(i, o, True),
}


def milliseconds(make, tokens, d_in, d_out, compiled, runs=7):
    torch.manual_seed(1)
    layer = make(d_in, d_out).to("cuda", torch.bfloat16)
    parameters = [p for p in layer.parameters() if p.requires_grad]
    if compiled:
        layer = torch.compile(layer)
    x = torch.randn(tokens, d_in, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    dy = torch.randn(tokens, d_out, device="cuda", dtype=torch.bfloat16)
    times = []
    for run in range(runs + 2):  # the first two warm up, and may compile
        for p in [x, *parameters]:
            p.grad = None
        torch.cuda.synchronize()
        start = time.perf_counter()
        layer(x).backward(dy)
        torch.cuda.synchronize()
        if run > 1:
            times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[2048, 16384])
    parser.add_argument("--seconds", type=float, default=90.0, help="start no row after that")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("pytorch_peer: PyTorch found no GPU")
    end = time.perf_counter() + options.seconds
    print(f"PyTorch {torch.__version__}, {torch.cuda.get_device_name()}; a layer of 4096 x 4096.\n")
    print("| tokens | layer | eager, ms | compiled, ms |\n|---|---|---|---|")
    for tokens in options.tokens:
        for name, make in LAYERS.items():
            cells = []
            for compiled in (False, True):
                if time.perf_counter() > end:
                    cells.append("no time left")
                    continue
                try:
                    cells.append(f"{milliseconds(make, tokens, 4096, 4096, compiled):.3f}")
                except Exception as error:  # whatever a part that is missing raises
                    cells.append(f"not measured: {type(error).__name__}")
            print(f"| {tokens} | {name} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()

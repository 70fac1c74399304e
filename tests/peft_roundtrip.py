"""Loads with the real PEFT what the library wrote, and compares the outputs of adapted layers.

    BRANCHLORA_PEFT_OUT=out build/tests/test_adapter --test-case="folders for the real PEFT*"
    python tests/peft_roundtrip.py out

Each folder in out holds an adapter and expected.safetensors, the outputs of its layers for the
inputs of tests/golden/peft/base.safetensors. The versions are those of tests/golden/make_peft.py.
"""

import pathlib
import sys
import warnings

import peft
import safetensors
import torch
from peft import PeftModel
from safetensors.torch import load_file

TESTS = pathlib.Path(__file__).parent
sys.path.append(str(TESTS / "golden"))
from make_peft import outputs, randomise  # noqa: E402
from toy_llama import ToyLlama  # noqa: E402

TOLERANCE = 1e-5  # of the largest output


def load(folder, base):
    """The toy model with the adapter in `folder`; a warning (of missing keys, say) is an error."""
    model = ToyLlama()
    model.load_state_dict({k: v for k, v in base.items() if not k.startswith("x.")})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return PeftModel.from_pretrained(model, folder).eval()


def check(folder, base):
    """The largest relative difference; fails if layers or outputs are not those expected."""
    expected = load_file(folder / "expected.safetensors")
    model = load(folder, base)
    found = outputs(model, base)
    assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
    worst = 0.0
    for name, want in expected.items():
        plain = base["x." + name] @ base[name + ".weight"].T
        size = want.abs().max()
        assert (plain - want).abs().max() > 1e-2 * size, f"{name}: the adapter does nothing"
        worst = max(worst, ((found[name] - want).abs().max() / size).item())
    assert worst < TOLERANCE, worst

    randomise(model)
    assert any((outputs(model, base)[n] - w).abs().max() > TOLERANCE for n, w in expected.items())
    return worst


def main():
    base = load_file(TESTS / "golden" / "peft" / "base.safetensors")
    print(f"torch {torch.__version__}, peft {peft.__version__}, safetensors {safetensors.__version__}")
    folders = sorted(p for p in pathlib.Path(sys.argv[1]).iterdir() if p.is_dir())
    assert folders, f"no adapters in {sys.argv[1]}"
    for folder in folders:
        print(f"{folder.name}: {check(folder, base):.1e}")


if __name__ == "__main__":
    main()

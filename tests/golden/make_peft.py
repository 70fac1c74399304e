"""Writes tests/golden/peft: adapters saved by PEFT itself, and what the adapted layers give.

    pip install torch==2.15.0 peft==0.21.2 transformers==5.24.0 safetensors==0.8.0
    python tests/golden/make_peft.py

base.safetensors holds the toy model's weights and an input for each of its linears ("x.<module>").
Each adapter's folder holds what PEFT saved and expected.safetensors: the outputs of the adapted
linears ("<module>"). The seed is 7 throughout.
"""

import pathlib
import shutil

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file

from toy_llama import ToyLlama

FOLDER = pathlib.Path(__file__).parent / "peft"

ADAPTERS = {
    "lora": LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules=["q_proj", "v_proj"],
        rank_pattern={"layers.1.self_attn.v_proj": 2},
        alpha_pattern={"^model.layers.0.self_attn.q_proj": 10},
        task_type="CAUSAL_LM",
    ),
    "rslora": LoraConfig(
        r=5,
        lora_alpha=3,
        use_rslora=True,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    ),
    "dora": LoraConfig(r=3, lora_alpha=7, use_dora=True, target_modules=["o_proj", "down_proj"]),
    "bfloat16": LoraConfig(r=4, lora_alpha=8, target_modules=["up_proj"]),
}


def strip(name):
    """The module's path in the base model."""
    return name.removeprefix("base_model.model.")


def randomise(model):
    """Numbers everywhere in the adapter: PEFT starts B at zero and DoRA's magnitude at a norm."""
    for name, p in model.named_parameters():
        if "magnitude" in name:
            p.data *= 1 + 0.2 * torch.randn_like(p)
        elif "lora_" in name:
            p.data = 0.3 * torch.randn_like(p)


def outputs(model, inputs):
    """What each adapted linear gives for its input."""
    with torch.no_grad():
        return {
            strip(name): module(inputs["x." + strip(name)])
            for name, module in model.named_modules()
            if hasattr(module, "lora_A")
        }


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    torch.manual_seed(7)
    base = ToyLlama()
    weights = {k: v.clone() for k, v in base.state_dict().items()}
    inputs = {
        "x." + name: torch.randn(5, module.in_features)
        for name, module in base.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    save_file(weights | inputs, FOLDER / "base.safetensors")

    for name, config in ADAPTERS.items():
        torch.manual_seed(7)
        base = ToyLlama()
        base.load_state_dict(weights)
        model = get_peft_model(base, config)
        randomise(model)
        if name == "bfloat16":
            model = model.to(torch.bfloat16)
        model.save_pretrained(FOLDER / name)
        (FOLDER / name / "README.md").unlink()

        base = ToyLlama()
        base.load_state_dict(weights)
        loaded = PeftModel.from_pretrained(base, FOLDER / name).eval()
        save_file(outputs(loaded, inputs), FOLDER / name / "expected.safetensors")


if __name__ == "__main__":
    main()

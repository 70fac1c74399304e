"""Writes tests/golden/starts.json: how PEFT starts a LoRA from a weight, inputs or a gradient.

    pip install torch==2.15.0 peft==0.21.2 transformers==5.24.0 attrs==26.1.0
    python tests/golden/make_starts.py

A linear of 10 inputs and 7 outputs, rank 2, alpha 3. All matrices are lists of rows, in float32 as
PEFT calculates: "weight", "x" (the inputs) and "gradient" (of the loss sum(c * y)), and of each
start its A, its B and the weight that it leaves. The seed is 7 throughout.
"""

import json
import pathlib

import torch
from peft import EvaConfig, LoraConfig, get_peft_model, initialize_lora_eva_weights
from peft.tuners.lora.config import CordaConfig, LoraGAConfig
from peft.tuners.lora.corda import preprocess_corda
from peft.tuners.lora.loraga import preprocess_loraga

FILE = pathlib.Path(__file__).parent / "starts.json"
D_IN, D_OUT, RANK, ALPHA, TOKENS = 10, 7, 2, 3, 60


class Net(torch.nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.linear = torch.nn.Linear(D_IN, D_OUT, bias=False)
        self.linear.weight.data = weight.clone()

    def forward(self, x):
        return self.linear(x)


def rows(tensor):
    return tensor.detach().double().tolist()


def config(**more):
    return LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=["linear"], **more)


def found(model):
    linear = model.base_model.model.linear
    return {
        "a": rows(linear.lora_A["default"].weight),
        "b": rows(linear.lora_B["default"].weight),
        "weight": rows(linear.base_layer.weight),
    }


def main():
    torch.manual_seed(7)
    weight = torch.randn(D_OUT, D_IN) / D_IN**0.5
    # Inputs whose directions differ, around a mean that is not zero.
    x = torch.randn(TOKENS, D_IN) * torch.linspace(2.0, 0.3, D_IN) @ torch.randn(D_IN, D_IN)
    x = x / 4 + 0.5
    c = torch.randn(TOKENS, D_OUT)
    result = {"alpha": ALPHA, "weight": rows(weight), "x": rows(x), "gradient": rows(c.T @ x / TOKENS)}

    result["pissa"] = found(get_peft_model(Net(weight), config(init_lora_weights="pissa")))

    eva = config(init_lora_weights="eva", eva_config=EvaConfig(rho=1.0))
    model = get_peft_model(Net(weight), eva)
    initialize_lora_eva_weights(
        model,
        dataloader=[{"x": x}],
        forward_fn=lambda model, batch: model(batch["x"]),
        prepare_model_inputs_fn=None,
        prepare_layer_inputs_fn=None,
        show_progress_bar=False,
    )
    result["eva"] = found(model)

    corda = config(init_lora_weights="corda", corda_config=CordaConfig(corda_method="ipm"))
    net = Net(weight)
    covariance = {}

    def run():
        net(x)
        covariance["value"] = net.linear.covariance_matrix.clone()

    preprocess_corda(net, corda, run_model=run)
    result["corda"] = found(get_peft_model(net, corda)) | {"moment": rows(covariance["value"])}

    ga = config(init_lora_weights="lora_ga", lora_ga_config=LoraGAConfig(direction="ArB2r", scale="stable"))
    net = Net(weight)
    preprocess_loraga(net, ga, lambda: (c * net(x)).sum().div(TOKENS).backward())
    result["lora_ga"] = found(get_peft_model(net, ga))

    FILE.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()

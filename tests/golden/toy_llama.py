"""Two layers of linears that are named as LLaMA's are."""

import torch


class ToyLlama(torch.nn.Module):
    """The linears of a decoder of width 12 and inner width 20, keys and values 6 wide."""

    def __init__(self):
        super().__init__()
        linear = lambda i, o: torch.nn.Linear(i, o, bias=False)
        self.model = torch.nn.Module()
        self.model.layers = torch.nn.ModuleList()
        for _ in range(2):
            layer = torch.nn.Module()
            layer.self_attn = torch.nn.Module()
            layer.self_attn.q_proj = linear(12, 12)
            layer.self_attn.k_proj = linear(12, 6)
            layer.self_attn.v_proj = linear(12, 6)
            layer.self_attn.o_proj = linear(12, 12)
            layer.mlp = torch.nn.Module()
            layer.mlp.gate_proj = linear(12, 20)
            layer.mlp.up_proj = linear(12, 20)
            layer.mlp.down_proj = linear(20, 12)
            self.model.layers.append(layer)

    def prepare_inputs_for_generation(self, *args, **kwargs):
        """PEFT asks a causal language model for it."""
        raise NotImplementedError

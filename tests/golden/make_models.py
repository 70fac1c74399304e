"""Writes tests/golden/models: tiny random checkpoints as they are published, and what they compute.

    pip install torch==2.15.0 transformers==5.24.0 peft==0.21.2 safetensors==0.8.0
    python tests/golden/make_models.py

A folder holds a checkpoint (config.json, safetensors) and expected.safetensors: inputs, the hidden
states before the first block ("hidden.0") and after each, logits, greedy continuations; of the
language models also gradients of a LoRA (saved by PEFT in adapter/) and the losses of ten steps of
AdamW. Rows of all examples follow each other. Versions and seed are in its metadata. Computed in
float32 from the weights as they were rounded for the file.
"""

import json
import pathlib
import shutil

import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

FOLDER = pathlib.Path(__file__).parent / "models"
SEED = 7
LEARNING_RATE = 2e-4
STEPS = 10
CONTINUATION = 12
VERSIONS = {
    "seed": str(SEED),
    "torch": torch.__version__,
    "transformers": transformers.__version__,
    "peft": peft.__version__,
}

TEXT = dict(
    vocab_size=48,
    hidden_size=32,
    intermediate_size=56,
    num_hidden_layers=3,
    num_attention_heads=4,
    max_position_embeddings=64,
    rms_norm_eps=1e-5,
)
LLAMA3 = dict(
    rope_type="llama3",
    rope_theta=100.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=32,
)
LINEAR = dict(rope_type="linear", rope_theta=10000.0, factor=2.0)
VISION = dict(
    hidden_size=24,
    intermediate_size=40,
    num_hidden_layers=3,
    num_attention_heads=3,
    image_size=16,
    patch_size=4,
)
IMAGE_TOKEN = 47
IMAGE_TOKENS = 16
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def randomise(model):
    """Weights at which every part matters, and the likeliest word is clear."""
    for name, p in model.named_parameters():
        noise = torch.randn_like(p)
        if "norm" in name:
            p.data = 0.2 * noise + (0 if name.endswith("bias") else 1)
        elif name.endswith("bias"):
            p.data = 0.2 * noise
        elif "embed" in name:
            p.data = noise if p.dim() < 4 else 0.3 * noise
        else:
            p.data = (3.0 if "lm_head" in name else 1.3) * noise / p.shape[-1] ** 0.5


def save(kind, model, folder, dtype, **options):
    """Saves a model as dtype; gives what is loaded from there, in float32."""
    model.to(dtype).save_pretrained(folder, **options)
    (folder / "generation_config.json").unlink(missing_ok=True)
    return load(kind, folder)


def load(kind, folder):
    model, info = kind.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    return model.eval()


def rewrite(path, change):
    """Changes a JSON file."""
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config, indent=2) + "\n")


def older(config):
    """The rotary embedding's settings as they were written before transformers 5."""
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    kind = rope.pop("rope_type")
    config["rope_scaling"] = None if kind == "default" else {"type": kind, **rope}


def portable(config):
    """An adapter's settings without the path of this run, in an order that does not change."""
    config["base_model_name_or_path"] = None
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()


def rows(model, example):
    """The logits of one example, before the last word of its answer, and each block's output."""
    prompt, answer, image = example
    blocks = model.get_decoder().layers
    hidden = [None] * (len(blocks) + 1)

    def keep(index):
        def hook(module, inputs, output):
            hidden[index + 1] = output[0] if isinstance(output, tuple) else output
            if index == 0:
                hidden[0] = inputs[0]

        return hook

    hooks = [block.register_forward_hook(keep(i)) for i, block in enumerate(blocks)]
    more = {} if image is None else {"pixel_values": image[None]}
    logits = model(input_ids=torch.tensor([prompt + answer[:-1]]), **more).logits[0]
    for hook in hooks:
        hook.remove()
    return logits, [h[0] for h in hidden]


def loss(model, examples):
    """The mean cross-entropy of all words of all answers."""
    total, count = 0, 0
    for example in examples:
        logits, _ = rows(model, example)
        answer = torch.tensor(example[1])
        total += torch.nn.functional.cross_entropy(logits[-len(answer) :], answer, reduction="sum")
        count += len(answer)
    return total / count


def continuation(model, example):
    """The likeliest words, by transformers' own loop; each must be likelier than others by far."""
    prompt, _, image = example
    more = {} if image is None else {"pixel_values": image[None]}
    ids = torch.tensor([prompt])
    out = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=CONTINUATION,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
        **more,
    )[0, len(prompt) :].tolist()
    assert len(out) == CONTINUATION and (image is None or IMAGE_TOKEN not in out), out
    best = rows(model, (prompt, out, image))[0][-CONTINUATION:].topk(2).values
    assert (best[:, 0] - best[:, 1]).min() > 5e-3, best
    return out


def language(model, examples):
    """What a language model gives for examples."""
    expected = {}
    with torch.no_grad():
        each = [rows(model, e) for e in examples]
        expected["logits"] = torch.cat([logits for logits, _ in each])
        for i in range(len(each[0][1])):
            expected[f"hidden.{i}"] = torch.cat([hidden[i] for _, hidden in each])
    for i, example in enumerate(examples):
        expected[f"prompt.{i}"] = torch.tensor(example[0], dtype=torch.int32)
        expected[f"answer.{i}"] = torch.tensor(example[1], dtype=torch.int32)
        expected[f"greedy.{i}"] = torch.tensor(continuation(model, example), dtype=torch.int32)
    return expected


def adapted(model, examples, folder, targets):
    """Gradients of a LoRA's first step, and the losses before each step; saves the LoRA."""
    config = LoraConfig(r=4, lora_alpha=6, target_modules=targets, task_type="CAUSAL_LM")
    model = get_peft_model(model, config)
    for name, p in model.named_parameters():
        if "lora_" in name:
            p.data = torch.randn_like(p) * (0.5 if "lora_A" in name else 0.3)
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    rewrite(folder / "adapter_config.json", portable)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert all("lora_" in name for name in trained)
    optimizer = torch.optim.AdamW(trained.values(), lr=LEARNING_RATE, weight_decay=0)
    expected, losses = {}, []
    for step in range(STEPS):
        optimizer.zero_grad()
        value = loss(model, examples)
        value.backward()
        losses.append(value.item())
        if step == 0:
            for name, p in trained.items():
                name = name.removeprefix("base_model.model.").removesuffix(".default.weight")
                expected["gradient." + name] = p.grad.clone()
        optimizer.step()
    return expected | {"losses": torch.tensor(losses, dtype=torch.float64)}


def words(*lengths):
    """Random words other than the placeholder, one list for each length."""
    return [torch.randint(3, IMAGE_TOKEN, (n,)).tolist() for n in lengths]


def write(expected, folder):
    tensors = {name: t.detach().contiguous().clone() for name, t in expected.items()}
    save_file(tensors, folder / "expected.safetensors", metadata=VERSIONS)


def make_llama(name, dtype, change=None, options={}, **settings):
    torch.manual_seed(SEED)
    folder = FOLDER / name
    model = LlamaForCausalLM(LlamaConfig(**TEXT, **settings))
    randomise(model)
    model = save(LlamaForCausalLM, model, folder, dtype, **options)
    if change is not None:
        rewrite(folder / "config.json", change)
        model = load(LlamaForCausalLM, folder)
    prompts, answers = words(6, 30, 3), words(5, 9, 4)
    examples = [(p, a, None) for p, a in zip(prompts, answers)]
    expected = language(model, examples)
    write(expected | adapted(model, examples, folder / "adapter", LINEARS), folder)


def make_clip():
    torch.manual_seed(SEED)
    folder = FOLDER / "clip"
    model = CLIPVisionModel(CLIPVisionConfig(**VISION))
    randomise(model)
    model = save(CLIPVisionModel, model, folder, torch.float32)
    pixels = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        hidden = model(pixels, output_hidden_states=True).hidden_states
    expected = {f"hidden.{i}": h[:, 1:].flatten(0, 1) for i, h in enumerate(hidden)}
    write(expected | {"pixels": pixels.permute(0, 2, 3, 1)}, folder)


def make_llava():
    torch.manual_seed(SEED)
    folder = FOLDER / "llava"
    text = LlamaConfig(**TEXT | dict(num_hidden_layers=2), num_key_value_heads=2)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION),
        text_config=text,
        image_token_index=IMAGE_TOKEN,
        image_seq_length=IMAGE_TOKENS,
    )
    model = LlavaForConditionalGeneration(config)
    randomise(model)
    save(LlavaForConditionalGeneration, model, folder, torch.float16)
    # The names of the files that were published.
    file = folder / "model.safetensors"
    tower = "vision_tower."
    weights = {
        (tower + "vision_model." + k.removeprefix(tower) if k.startswith(tower) else k): v
        for k, v in load_file(file).items()
    }
    save_file(weights, file, metadata={"format": "pt"})
    model = load(LlavaForConditionalGeneration, folder)
    write_original(weights, json.loads((folder / "config.json").read_text()))

    image = [IMAGE_TOKEN] * IMAGE_TOKENS
    (a, b, c), (d, e), answers = words(4, 1, 9), words(3, 8), words(5, 7, 6)
    pixels = torch.randn(2, 3, 16, 16)
    examples = [
        (a + image + d, answers[0], pixels[0]),
        (b + image + e, answers[1], pixels[1]),
        (c, answers[2], None),
    ]
    expected = language(model, examples)
    with torch.no_grad():
        features = model.get_image_features(pixels, return_dict=True).pooler_output
    expected["image_embeddings"] = torch.cat(list(features))
    expected["pixels"] = pixels.permute(0, 2, 3, 1)
    targets = r".*language_model.*\.(" + "|".join(LINEARS) + ")"
    write(expected | adapted(model, examples, folder / "adapter", targets), folder)


def write_original(weights, config):
    """The same LLaVA in its authors' layout, and the CLIP that it names."""
    folder, clip = FOLDER / "llava-original", FOLDER / "llava-original-clip"
    folder.mkdir()
    clip.mkdir()
    ours, tower = {}, {}
    for name, value in weights.items():
        if name.startswith("vision_tower."):
            tower[name.removeprefix("vision_tower.")] = value
            continue
        for old, new in {
            "language_model.": "",
            "multi_modal_projector.linear_1": "model.mm_projector.0",
            "multi_modal_projector.linear_2": "model.mm_projector.2",
        }.items():
            name = name.replace(old, new)
        ours[name] = value
    save_file(ours, folder / "model.safetensors", metadata={"format": "pt"})
    save_file(tower, clip / "model.safetensors", metadata={"format": "pt"})
    text = config["text_config"]
    original = {
        "architectures": ["LlavaLlamaForCausalLM"],
        "freeze_mm_mlp_adapter": False,
        "image_aspect_ratio": "pad",
        "mm_hidden_size": VISION["hidden_size"],
        "mm_projector_type": "mlp2x_gelu",
        "mm_resampler_type": None,
        "mm_use_im_patch_token": False,
        "mm_use_im_start_end": False,
        "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": -2,
        "mm_vision_tower": "openai/clip-vit-large-patch14-336",
        "model_type": "llava",
        "tune_mm_mlp_adapter": False,
        "use_mm_proj": True,
    }
    kept = ["bos_token_id", "eos_token_id", "pad_token_id", "hidden_act", "num_key_value_heads"]
    kept += ["initializer_range", "tie_word_embeddings", "use_cache", *TEXT]
    original |= {key: text[key] for key in kept} | {"rope_scaling": None}
    for path, content in [(folder, original), (clip, config["vision_config"])]:
        (path / "config.json").write_text(json.dumps(content, indent=2) + "\n")


def make_llamas():
    make_llama("llama", torch.float32, older)
    make_llama(
        "llama-grouped",
        torch.bfloat16,
        options={"max_shard_size": "12KB"},
        num_key_value_heads=2,
        rope_parameters=LLAMA3,
    )
    make_llama(
        "llama-tied",
        torch.float16,
        older,
        num_key_value_heads=1,
        head_dim=12,
        tie_word_embeddings=True,
        rope_parameters=LINEAR,
    )


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    make_llamas()
    make_clip()
    make_llava()


if __name__ == "__main__":
    main()

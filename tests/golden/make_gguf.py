#!/usr/bin/env python3
"""Writes tests/golden/gguf with the Python package `gguf`.

    pip install gguf==0.19.0 safetensors==0.8.0 numpy==2.4.6
    python tests/golden/make_gguf.py

types.gguf            a value of metadata and a tensor of each type that is read; seed 11
types.safetensors     the tensors of types.gguf in float
llama.gguf            a LLaMA model of 2 layers with the tokenizer tokenizers/smollm.json. Its weights
                      are `weight` of their published names; q and k have their rows in GGUF's order
"""

import json
import pathlib

import gguf
import numpy as np
import safetensors.numpy
from gguf import GGMLQuantizationType as Type

HERE = pathlib.Path(__file__).parent
FOLDER = HERE / "gguf"
WIDTH, INNER, HEADS, KEY_HEADS, LAYERS = 32, 64, 4, 2, 2


def write(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_types():
    writer = gguf.GGUFWriter(FOLDER / "types.gguf", "golden")
    writer.add_uint8("u8", 255)
    writer.add_int8("i8", -128)
    writer.add_uint16("u16", 65535)
    writer.add_int16("i16", -32768)
    writer.add_uint32("u32", 4294967295)
    writer.add_int32("i32", -2147483648)
    writer.add_float32("f32", 0.1)
    writer.add_bool("yes", True)
    writer.add_bool("no", False)
    writer.add_string("text", "naïve ☃")
    writer.add_uint64("u64", 18446744073709551615)
    writer.add_int64("i64", -9223372036854775808)
    writer.add_float64("f64", 0.1)
    writer.add_array("numbers", [1, -2, 3])
    writer.add_array("texts", ["a", "", "Ġb"])
    writer.add_array("lists", [[1, 2], [3]])
    random = np.random.default_rng(11)
    expected = {}
    for kind in (Type.F32, Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0):
        values = (random.standard_normal((3, 64)) * random.exponential(1, (3, 64))).astype(np.float32)
        stored = gguf.quants.quantize(values, kind)
        writer.add_tensor(kind.name, stored, raw_dtype=kind)
        expected[kind.name] = gguf.quants.dequantize(stored, kind).astype(np.float32)
    write(writer)
    safetensors.numpy.save_file(expected, FOLDER / "types.safetensors")


def weight(index, shape):
    """The weight whose published name is number `index` in alphabetical order: small whole numbers."""
    rows, columns = (1, *shape)[-2:]
    r, c = np.indices((rows, columns))
    return ((37 * index + 11 * r + 5 * c + r * c) % 255 - 127).astype(np.float32).reshape(shape)


def bytes_as_q8(values):
    """Blocks of Q8_0 with a scale of 1, which hold whole numbers exactly."""
    blocks = values.astype(np.int8).reshape(-1, 32)
    scales = np.ones((len(blocks), 1), np.float16)
    stored = np.concatenate([scales.view(np.uint8), blocks.view(np.uint8)], axis=1)
    return stored.reshape(values.shape[0], -1)


def in_gguf_order(values, heads):
    """Brings the two rows that one rotation turns side by side."""
    rows, columns = values.shape
    return values.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def make_llama():
    tokenizer = json.loads((HERE / "tokenizers" / "smollm.json").read_text())
    tokens = [t for t, _ in sorted(tokenizer["model"]["vocab"].items(), key=lambda x: x[1])]
    special = {t["id"] for t in tokenizer["added_tokens"]}
    keys = WIDTH // HEADS * KEY_HEADS
    weights = {  # published name: (name in GGUF, shape, heads to be reordered)
        "model.embed_tokens": ("token_embd", (len(tokens), WIDTH), 0),
        "model.norm": ("output_norm", (WIDTH,), 0)}
    for i in range(LAYERS):
        for name, source, shape, heads in (
                ("input_layernorm", "attn_norm", (WIDTH,), 0),
                ("self_attn.q_proj", "attn_q", (WIDTH, WIDTH), HEADS),
                ("self_attn.k_proj", "attn_k", (keys, WIDTH), KEY_HEADS),
                ("self_attn.v_proj", "attn_v", (keys, WIDTH), 0),
                ("self_attn.o_proj", "attn_output", (WIDTH, WIDTH), 0),
                ("post_attention_layernorm", "ffn_norm", (WIDTH,), 0),
                ("mlp.gate_proj", "ffn_gate", (INNER, WIDTH), 0),
                ("mlp.up_proj", "ffn_up", (INNER, WIDTH), 0),
                ("mlp.down_proj", "ffn_down", (WIDTH, INNER), 0)):
            weights[f"model.layers.{i}.{name}"] = (f"blk.{i}.{source}", shape, heads)

    writer = gguf.GGUFWriter(FOLDER / "llama.gguf", "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_rope_freq_base(50000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if i in special else gguf.TokenType.NORMAL
                            for i in range(len(tokens))])
    writer.add_token_merges([" ".join(m) for m in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template("{{ messages }}")
    for index, name in enumerate(sorted(f"{name}.weight" for name in weights)):
        source, shape, heads = weights[name.removesuffix(".weight")]
        values = weight(index, shape)
        if len(shape) == 1:
            writer.add_tensor(f"{source}.weight", values)
            continue
        if heads:
            values = in_gguf_order(values, heads)
        writer.add_tensor(f"{source}.weight", bytes_as_q8(values), raw_dtype=Type.Q8_0)
    write(writer)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    make_types()
    make_llama()
    for file in sorted(FOLDER.iterdir()):
        print(f"{file.name:20} {file.stat().st_size:6} bytes")

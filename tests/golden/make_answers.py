#!/usr/bin/env python3
"""Writes tests/golden/answers.json: what transformers answers to questions put to the checkpoints in
tests/golden/models as text, and a tokenizer.json beside each of them.

    pip install torch==2.15.0 transformers==5.24.0 peft==0.21.2 tokenizers==0.23.3 pillow==13.0.0
    python tests/golden/make_models.py && python tests/golden/make_answers.py

Every answer has the model's folder and the question, whether it is asked as it stands (raw) or with
a line feed after it (plain), with the model's adapter, about clip_images/landscape.png; the numbers
of the tokens read ("prompt") and written ("ids"), greedily and up to </s>, and their text.
"""

import json
import pathlib

import peft
import tokenizers
import torch
import transformers
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, processors
from tokenizers.models import BPE
from transformers import LlamaForCausalLM, LlavaForConditionalGeneration
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from make_clip_images import padded

GOLDEN = pathlib.Path(__file__).parent
MODELS = GOLDEN / "models"
END, IMAGE_TOKEN, IMAGE_TOKENS, SIDE = 2, 47, 16, 16
MOST = 12
MERGES = ["▁ t", "h e", "▁t he", "i n", "▁ a", "r e", "o n", "e r", "a t", "▁ w", "i s", "▁ s"]
QUESTIONS = [  # folder, question, raw, adapter, image
    ("llama", "the bird on the", True, False, False),
    ("llama", "what is it?", False, False, False),
    ("llama", "the bird on the", True, True, False),
    ("llama-grouped", "a stone, a river: a", True, False, False),
    ("llama-tied", "where is the water", True, False, False),
    ("llava", "what is it?", False, False, True),
    ("llava", "look at <image> and tell:", True, False, True),
    ("llava", "where is the water", False, True, True),
    ("llava", "without a picture", False, False, False),
    ("llava-original", "what is this?", False, False, True),
    ("llava-original", "see <image> and tell:", True, False, True),
]


def make_tokenizer():
    """LLaMA's, as far as 47 tokens go."""
    letters = ["▁", "\n", *"abcdefghijklmnopqrstuvwxyz?.,:"]
    tokens = ["<unk>", "<s>", "</s>", *letters, *(m.replace(" ", "") for m in MERGES)]
    model = BPE({t: i for i, t in enumerate(tokens)}, [tuple(m.split(" ")) for m in MERGES],
                unk_token="<unk>", fuse_unk=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.add_special_tokens(
        [AddedToken(t, normalized=False, special=True) for t in ("<unk>", "<s>", "</s>")])
    assert tokenizer.get_vocab_size() == IMAGE_TOKEN, tokenizer.get_vocab_size()
    return tokenizer


def prompt_of(tokenizer, text, joined):
    """Token numbers; a picture's mark is a token of its own, or parts the text in two."""
    if joined or "<image>" not in text:
        return tokenizer.encode(text).ids
    before, after = text.split("<image>")
    rest = tokenizer.encode(after).ids
    assert rest[0] == 1
    return [*tokenizer.encode(before).ids, IMAGE_TOKEN, *rest[1:]]


def answer(model, prompt, pixels):
    """The likeliest tokens by transformers' own loop; each must be likelier than others by far."""
    ids = torch.tensor([[t for p in prompt for t in [p] * (IMAGE_TOKENS if p == IMAGE_TOKEN else 1)]])
    more = {} if pixels is None else {"pixel_values": torch.tensor(pixels)}
    out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=MOST,
                         do_sample=False, eos_token_id=END, pad_token_id=0, output_logits=True,
                         return_dict_in_generate=True, **more)
    best = torch.stack(out.logits)[:, 0].topk(2).values
    assert (best[:, 0] - best[:, 1]).min() > 5e-3, best
    ids = out.sequences[0, ids.shape[1]:].tolist()
    return ids[:ids.index(END)] if END in ids else ids


def main():
    picture = Image.open(GOLDEN / "clip_images" / "landscape.png").convert("RGB")
    processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE},
                                      crop_size={"height": SIDE, "width": SIDE})
    colour = tuple(int(m * 255) for m in processor.image_mean)
    answers = []
    for folder, question, raw, adapter, image in QUESTIONS:
        tokenizer = make_tokenizer()
        original = folder == "llava-original"
        if folder == "llava":
            tokenizer.add_special_tokens([AddedToken("<image>", normalized=False, special=True)])
        tokenizer.save(str(MODELS / folder / "tokenizer.json"))
        # The authors' layout holds the same weights.
        path = MODELS / ("llava" if original else folder)
        kind = LlavaForConditionalGeneration if folder.startswith("llava") else LlamaForCausalLM
        model = kind.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")
        if adapter:
            model = peft.PeftModel.from_pretrained(model, path / "adapter")
        model.eval()
        text = question if raw else ("<image>\n" if image else "") + question + "\n"
        prompt = prompt_of(tokenizer, text, not original)
        pixels = None
        if image:
            square = padded(picture, colour) if original else picture
            pixels = processor(square, return_tensors="np")["pixel_values"]
        ids = answer(model, prompt, pixels)
        answers.append({"model": folder, "question": question, "raw": raw, "adapter": adapter,
                        "image": image, "prompt": prompt, "ids": ids,
                        "text": tokenizer.decode(ids, skip_special_tokens=False)})
        print(answers[-1])
    versions = {m.__name__: m.__version__ for m in (torch, transformers, peft, tokenizers)}
    lines = ",\n".join("  " + json.dumps(a, ensure_ascii=False) for a in answers)
    (GOLDEN / "answers.json").write_text(
        f'{{"versions": {json.dumps(versions)},\n "answers": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()

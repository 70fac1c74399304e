#!/usr/bin/env python3
"""Writes tests/golden/tokenizers/: tiny tokenizers in the formats of published models, and what the
Python package `tokenizers` makes of 2,000 strings with them.

Made with Python 3.11 and
    tokenizers==0.23.3 safetensors==0.8.0 numpy==2.4.6
usage: tests/golden/make_tokenizers.py

  <name>.json         a tokenizer
  strings.json        the strings
  ids.safetensors     <name>.ids: the numbers of all strings in a row; <name>.lengths: of each
  decoded.json        per tokenizer: "omit" {index of a string: decoded without special tokens}, where
                      that differs from the string; "keep", the first 250 with special tokens;
                      "slices", [ids, decoded with special tokens], cut anywhere
"""

import json
import pathlib
import random
import sys

import numpy
import safetensors.numpy
import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

FOLDER = pathlib.Path(__file__).parent / "tokenizers"
COUNT = 2000
KEPT = 250  # strings whose text with special tokens is written

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
          r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
QWEN_MARKS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|"
              r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")

SENTENCES = r"""
What is the name of the bird on the left? Answer with one word or a short phrase.
The quick red fox doesn't jump over 12 lazy dogs; they've seen it, I'll bet, at 3:45 PM.
WE'LL see WHAT'S up, she'D said, I'M sure you'RE right and they'Ve gone, it'ſ old.
Give the bounding box of the described region: [0.12, 0.55, 0.98, 1.00]
Der Fuchs läuft über die Straße, während Bäume blühen und Käse schmilzt.
Où est passé l'élève naïf ? Il a mangé du gâteau près de la forêt.
El niño comió mañana; ¿dónde está el pingüino? ¡Qué alegría!
Быстрая лиса прыгает через ленивую собаку в 2024 году.
Γρήγορη αλεπού πηδάει πάνω από το σκυλί, ὦ ἄνδρες Ἀθηναῖοι.
الثعلب السريع يقفز فوق الكلب الكسول ١٢٣٤٥
השועל המהיר קופץ מעל הכלב העצלן, שָׁלוֹם
तेज़ लोमड़ी आलसी कुत्ते के ऊपर कूदती है १२३
দ্রুত শিয়াল অলস কুকুরের উপর লাফ দেয়
வேகமான நரி சோம்பேறி நாயின் மேல் குதிக்கிறது
สุนัขจิ้งจอกกระโดดข้ามหมาขี้เกียจ ๑๒๓
敏捷的狐狸跳过了懒狗。图中有几只猫？答案：三只。
速い狐がのろまな犬を飛び越える。カタカナ、ひらがなと漢字が混ざる。ガギグ
빠른 갈색 여우가 게으른 개를 뛰어넘는다 한글
ቀልጣፋው ቀበሮ ሰነፉን ውሻ ዘለለ
სწრაფი მელა ხტება ზარმაც ძაღლზე
Արագ աղվեսը ցատկում է ծույլ շան վրայով
ខ្មែរ ລາວ မြန်မာ བོད་ཡིག ᠮᠣᠩᠭᠣᠯ
Ω Å ẛ̣ ﬁ ﬂ ǅ ½ ¾ Ⅳ ⅷ ² ³ ① ㊗ ㎏ ℃ ™ © ® € £ ¥
e\u0301 a\u0308o\u0302\u0323 s\u0323\u0307 \u1100\u1161\u11a8 \u1112\u1161\u11ab \u0344 \u2126 \u212b \ufa1e
🦊🐕 👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇫🇷🇯🇵 ❤️ ☃ 𝒳𝔘𝟙𝟚 𐍈𐎀 𓀀 🫠
def f(x):\n    return [i ** 2 for i in range(x) if i != 3]\n\n\tprint(f"{f(10)}")\r\n
int main() { std::vector<int> v{1, 2, 3}; return v[0] + 0xFF >> 2; } // done
{"id": 17, "image": "images/a.png", "ok": true, "none": null, "x": -1.5e-7}
https://example.org/a/b?c=d&e=%20f#g  user@example.org  C:\\\\temp\\\\x.txt
| a | b |\n|---|---|\n| 1 | 2 |\n\n\n- one\n  - two\n***bold*** `code` $x^2$
3.14159 1,000,000 12345678901 007 1/2 10% 42nd 0x1F 1e10 ٣٫٤ ५०
""".strip().split("\n")
SENTENCES = [s.encode().decode("unicode_escape") if s.isascii() else s for s in SENTENCES]

SPACES = [" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", " \n ", "\u00a0", "\u3000", "\u2009", "\u200b",
          "\u2028", "\u0085", "\x0b", "\x1c", "\ufeff", "▁", " ▁ ", "       "]
SPECIAL = ["<s>", "</s>", "<unk>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|eot_id|>",
           "<image>", "<pad>", "<|begin_of_text|>", "<mask>", "<0x0A>", "<0xE2>", "<|im", "</", "Ġ",
           "<tool>", "[INST]"]
ODD = ["\x00", "\x01", "\x7f", "\u00ad", "\ufffd", "\ud7ff", "\ue000", "\uffff", "\U0010ffff",
       "\u202e", "\u0301", "'", "''", "'s", "'S", "'ſ", "'LL", "’s", "K", "é", "e\u0301", "İ", "ß", "ǆ"]


def random_strings(seed):
    """Whole sentences, slices of them, and mixtures with odd spaces, special tokens and code points
    from anywhere."""
    draw = random.Random(seed)
    strings = ["", " ", "  ", "a", "\n", "▁", *SPACES, *SPECIAL, *ODD]
    strings += [s + t for s in SPECIAL[:8] for t in (" ", " a", "a", "\n")]
    strings += [t + s for s in SPECIAL[:8] for t in (" ", "a ", "a", "\n")]
    strings += SENTENCES

    def part():
        kind = draw.random()
        sentence = draw.choice(SENTENCES)
        if kind < 0.5:
            begin = draw.randrange(len(sentence))
            return sentence[begin:begin + draw.randrange(1, 14)]
        if kind < 0.62:
            return draw.choice(SPACES)
        if kind < 0.74:
            return draw.choice(SPECIAL)
        if kind < 0.82:
            return draw.choice(ODD)
        if kind < 0.9:
            return str(draw.randrange(10 ** draw.randrange(1, 9)))
        limit = draw.choice([0x250, 0x3000, 0x11000, 0x20000, 0x110000])
        point = draw.randrange(0x20, limit)
        return " " if 0xD800 <= point < 0xE000 else chr(point)

    seen = dict.fromkeys(strings)
    while len(seen) < COUNT:
        seen[("".join(part() for _ in range(draw.randrange(1, 5))))] = None
    return list(seen)


def trainer(size, special, alphabet=()):
    return BpeTrainer(vocab_size=size, special_tokens=special, initial_alphabet=list(alphabet),
                      show_progress=False, min_frequency=1)


def llama(legacy):
    """LLaMA's: SentencePiece's BPE as Hugging Face converts it, in the form with normalisers and in
    the form with Metaspace."""
    tokenizer = Tokenizer(BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if legacy:
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
             decoders.Strip(" ", 1, 0)])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False)
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
             decoders.Strip(" ", 1, 0)])
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    # Trained on words, as merging across spaces would learn whole sentences.
    words = ["▁" + w for s in SENTENCES for w in s.split()]
    plain = Tokenizer(BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    plain.train_from_iterator(words * 2, trainer(900, special))
    content = json.loads(plain.to_str())
    model = json.loads(tokenizer.to_str())
    # Rare scripts go through the bytes: characters above the Basic Multilingual Plane, kana, Ethiopic
    gone = {t for t in content["model"]["vocab"]
            if any(ord(c) > 0xFFFF or 0x3040 <= ord(c) < 0x3100 or 0x1200 <= ord(c) < 0x1380 for c in t)}
    kept = [t for t, _ in sorted(content["model"]["vocab"].items(), key=lambda x: x[1]) if t not in gone]
    model["model"]["vocab"] = {t: i for i, t in enumerate(kept)}
    model["model"]["merges"] = [m for m in content["model"]["merges"]
                                if not {m[0], m[1], m[0] + m[1]} & gone]
    if legacy:
        model["model"]["merges"] = [" ".join(m) for m in model["model"]["merges"]]
    tokenizer = Tokenizer.from_str(json.dumps(model))
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True)
                                  for t in ("<unk>", "<s>", "</s>")])
    tokenizer.add_tokens([AddedToken("<image>", normalized=False, special=False),
                          AddedToken("<mask>", normalized=False, special=True, lstrip=True),
                          AddedToken("[INST]", normalized=True, special=False),
                          AddedToken("<tool>", normalized=False, special=True, rstrip=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))])
    return tokenizer


def metaspace():
    """The Metaspace form that cuts at each space, without byte fallback."""
    tokenizer = Tokenizer(BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="always", split=True)
    tokenizer.decoder = decoders.Metaspace("▁", prepend_scheme="always", split=True)
    tokenizer.train_from_iterator(SENTENCES[:14], trainer(420, ["<unk>", "<s>", "</s>"]))
    return tokenizer


def byte_level(pre_tokenizer, size, special, normalizer=None, ignore_merges=False, begin=None):
    tokenizer = Tokenizer(BPE(ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        SENTENCES * 2, trainer(size, special, pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if begin:
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=f"{begin} $A", pair=f"{begin} $A {begin}:1 $B:1",
                special_tokens=[(begin, tokenizer.token_to_id(begin))])])
    return tokenizer


def split(pattern):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def llama3():
    """With tokens that no merge leads to, so that `ignore_merges` tells."""
    tokenizer = byte_level(split(LLAMA3), 620, ["<|begin_of_text|>", "<|eot_id|>"],
                           ignore_merges=True, begin="<|begin_of_text|>")
    content = json.loads(tokenizer.to_str())
    for word in ("Ġregion", "phrase", "123", "Ġlazy"):
        content["model"]["vocab"].setdefault(word, len(content["model"]["vocab"]))
    content["model"]["merges"] = [m for m in content["model"]["merges"]
                                  if "".join(m) not in ("Ġregion", "phrase", "123", "Ġlazy")]
    return Tokenizer.from_str(json.dumps(content))


TOKENIZERS = {
    "llama": lambda: llama(legacy=True),
    "llama-metaspace": lambda: llama(legacy=False),
    "metaspace-split": metaspace,
    "gpt2": lambda: byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), 560,
                               ["<|endoftext|>"]),
    "llama3": llama3,
    "qwen2": lambda: byte_level(split(QWEN2), 560, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
                                normalizer=normalizers.NFC()),
    "qwen-marks": lambda: byte_level(split(QWEN_MARKS), 400, ["<|im_end|>"],
                                     normalizer=normalizers.NFC()),
    "smollm": lambda: byte_level(
        pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]),
        560, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]),
}


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def main():
    FOLDER.mkdir(exist_ok=True)
    strings = random_strings(seed=5)
    (FOLDER / "strings.json").write_text(compact(strings) + "\n")
    tensors, decoded = {}, {}
    for name, make in TOKENIZERS.items():
        tokenizer = make()
        (FOLDER / f"{name}.json").write_text(compact(json.loads(tokenizer.to_str())) + "\n")
        tokenizer = Tokenizer.from_file(str(FOLDER / f"{name}.json"))
        ids = [tokenizer.encode(s).ids for s in strings]
        tensors[f"{name}.ids"] = numpy.array([i for row in ids for i in row], numpy.uint16)
        tensors[f"{name}.lengths"] = numpy.array([len(row) for row in ids], numpy.uint16)
        whole = [tokenizer.decode(row, skip_special_tokens=False) for row in ids]
        omit = [tokenizer.decode(row, skip_special_tokens=True) for row in ids]
        draw = random.Random(name)
        slices = []
        while len(slices) < 150:
            row = draw.choice(ids)
            begin = draw.randrange(len(row) + 1)
            part = row[begin:begin + draw.randrange(1, 8)]
            part += [draw.randrange(tokenizer.get_vocab_size() + 5) for _ in range(draw.randrange(3))]
            slices.append([part, tokenizer.decode(part, skip_special_tokens=False)])
        decoded[name] = {
            "keep": whole[:KEPT],
            "omit": {str(i): o for i, (s, o) in enumerate(zip(strings, omit)) if o != s},
            "slices": slices}
        print(f"{name:16} {tokenizer.get_vocab_size():4} tokens, {sum(map(len, ids)):6} ids, "
              f"{len(decoded[name]['omit'])} differ")
    safetensors.numpy.save_file(tensors, FOLDER / "ids.safetensors")
    (FOLDER / "decoded.json").write_text(compact(decoded) + "\n")
    total = sum(f.stat().st_size for f in FOLDER.iterdir())
    print(f"{total} bytes, tokenizers {tokenizers.__version__}, Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()

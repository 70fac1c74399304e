"""The pictures. Each scene draws one 48x48 tile of a split from the generator g: (tile, facts for questions)."""
import numpy as np
from PIL import Image, ImageDraw

import flags
import sources
from maps import World
from paint import (BOARD, CHALK, CLOTH, COLOURS, INK, PAPER, PLAIN, canvas, cell, choice, ink, inside, paste, scaled,
                   some)
from shapes import SHAPES, shape_mask
from sources import CLOTHES, SMALL, T, TEST, TRAIN


class Studio:
    """Holds the sources. The seed divides the countries, which no other pack divides by name."""

    def __init__(self, work, seed):
        self.drawings = {TRAIN: sources.drawings_for_training(), TEST: sources.drawings_for_tests()}
        self.small = sorted(n for n in SMALL if n in self.drawings[TRAIN] and n in self.drawings[TEST])
        self.photos, self.digits, self.fonts = sources.photographs(work), sources.digits(work), sources.fonts(work)
        self.words = sources.words()
        self.flags = {s: [(a, flags.zones(a), flags.shares(a)) for a in v] for s, v in flags.flags(work).items()}
        self.world = World(work, np.random.default_rng([seed, 0]))

    # ------------------------------------------------------------ drawings and clocks
    def drawing(self, g, split, names):
        t, name = canvas(g), choice(g, names)
        art = scaled(choice(g, self.drawings[split][name]), int(g.integers(34, 47)))
        paste(t, art, *inside(g, art, (0, 0, T, T)))
        return t, dict(name=name)

    def clock(self, g, split):
        t, facts = self.drawing(g, split, list(range(1, 13)))
        return t, dict(hour=facts["name"])

    def little(self, g, split, name):
        """A drawing that fits a corner."""
        art = choice(g, self.drawings[split][name])
        return scaled(art, min(max(art.shape[:2]), 24) if split == TEST else int(g.integers(20, 25)))

    def collage(self, g, split):
        """One to four drawings, each in a corner; two may be alike."""
        t, k = canvas(g), int(g.integers(1, 5))
        names = some(g, self.small, k)
        if k > 1 and g.random() < 0.25:
            names[1] = names[0]
        cells = [int(c) for c in g.permutation(4)[:k]]
        for name, c in zip(names, cells):
            art = self.little(g, split, name)
            paste(t, art, *inside(g, art, cell(c)))
        return t, dict(names=names, cells=cells)

    # ------------------------------------------------------------ photographs
    def photo(self, g, split, size=T):
        images, labels = self.photos[split]
        k = int(g.integers(len(images)))
        a = np.asarray(Image.fromarray(images[k]).resize((size, size), Image.Resampling.BILINEAR), np.float32)
        return np.repeat(np.round(a / 8)[..., None] * 8, 3, 2), dict(name=CLOTHES[labels[k]])

    # ------------------------------------------------------------ signs
    def digit(self, g, split, value, size):
        """A handwritten digit, (size, size) in 0..1."""
        a = Image.fromarray((choice(g, self.digits[split][value]) * 255).astype(np.uint8))
        return np.clip(np.asarray(a.resize((size, size), Image.Resampling.BILINEAR), np.float32) / 255 * 1.2, 0, 1)

    def number(self, g, split, boards):
        """One to three handwritten digits, in ink on paper or, this share of them, in chalk on a board."""
        n, board = int(g.integers(1, 4)), g.random() < boards
        size = {1: int(g.integers(28, 37)), 2: int(g.integers(21, 25)), 3: 16}[n]
        t = canvas(g, BOARD if board else PAPER)
        colour, values = choice(g, CHALK if board else INK), [int(v) for v in g.integers(10, size=n)]
        x = int(np.clip((T - n * size) // 2 + g.integers(-2, 3), 0, T - n * size))
        y = int(np.clip((T - size) // 2 + g.integers(-4, 5), 0, T - size))
        for k, v in enumerate(values):
            paste(t, ink(self.digit(g, split, v, size), colour), x + k * size, y)
        return t, dict(signs=[str(v) for v in values])

    def word(self, g, split):
        """A word of two to four capitals."""
        word = choice(g, self.words[split])
        im = Image.new("L", (420, 160))
        ImageDraw.Draw(im).text((210, 80), word.upper(), 255, font=choice(g, self.fonts[split]), anchor="mm")
        m = np.asarray(im.rotate(g.uniform(-4, 4), Image.Resampling.BICUBIC))
        y, x = np.where(m > 38)
        m = Image.fromarray(m[y.min():y.max() + 1, x.min():x.max() + 1])
        f = min(int(g.integers(43, 48)) / m.width, 36 / m.height)
        m = m.resize((max(4, round(m.width * f)), max(4, round(m.height * f))), Image.Resampling.BILINEAR)
        m = np.clip(np.asarray(m, np.float32) / 255 * 1.15, 0, 1)
        t, h, w = canvas(g), *m.shape
        x = int(np.clip((T - w) // 2 + g.integers(-2, 3), 0, T - w))
        y = int(np.clip((T - h) // 2 + g.integers(-4, 5), 0, T - h))
        paste(t, ink(m, choice(g, INK)), x, y)
        return t, dict(signs=list(word))

    # ------------------------------------------------------------ shapes and bars
    def shapes(self, g, split):
        """One to four shapes of different kinds and colours, each in a corner."""
        t, k = canvas(g), int(g.integers(1, 5))
        kinds, colours = some(g, SHAPES, k), some(g, PLAIN, k)
        cells = [int(c) for c in g.permutation(4)[:k]]
        for kind, colour, c in zip(kinds, colours, cells):
            art = ink(shape_mask(kind, int(g.integers(15, 23))), COLOURS.get(colour, (20, 20, 20)))
            paste(t, art, *inside(g, art, cell(c)))
        return t, dict(names=kinds, colours=colours, cells=cells)

    def heap(self, g, split):
        """One to six shapes of at most three colours, anywhere, without overlap."""
        while True:
            t, k, palette = canvas(g), int(g.integers(1, 7)), some(g, PLAIN, 3)
            taken, colours = np.zeros((T, T), bool), []
            for _ in range(k):
                for _ in range(40):
                    m = shape_mask(choice(g, SHAPES), int(g.integers(11, 17)))
                    x, y = inside(g, m[..., None], (0, 0, T, T))
                    spot = taken[max(0, y - 1):y + len(m) + 1, max(0, x - 1):x + len(m) + 1]
                    if not spot.any():
                        spot[:] = True
                        colours.append(choice(g, palette))
                        paste(t, ink(m, COLOURS.get(colours[-1], (20, 20, 20))), x, y)
                        break
            if len(colours) == k:
                return t, dict(colours=colours)

    def bars(self, g, split):
        """Three to five bars on a line, no two of one height."""
        n = int(g.integers(3, 6))
        colours = some(g, list(COLOURS), n)
        heights = [int(h) for h in g.permutation(np.arange(8, 44, 5))[:n]]
        t, width = canvas(g), int(g.integers(6, 9))
        gap = (T - 2 - n * width) // n
        x, base = int(g.integers(1, gap + 2)), 46
        for k, (c, h) in enumerate(zip(colours, heights)):
            t[base - h:base, x + k * (width + gap):x + k * (width + gap) + width] = COLOURS[c]
        t[base:base + 1] = 60
        o = np.argsort(heights)
        return t, dict(extremes=dict(highest=colours[o[-1]], lowest=colours[o[0]], leftmost=colours[0],
                                     rightmost=colours[-1]))

    # ------------------------------------------------------------ maps and flags
    def map(self, g, split):
        return self.world.draw(g, split)

    def flag(self, g, split):
        """A flag, and the colour of each side that has one."""
        (a, sides, _), w = choice(g, self.flags[split]), int(choice(g, [36, 40, 44, 48]))
        t, h = canvas(g, CLOTH), w * 3 // 4
        x, y = int(g.integers(T - w + 1)), int(g.integers(T - h + 1))
        t[y:y + h, x:x + w] = np.asarray(Image.fromarray(a).resize((w, h), Image.Resampling.LANCZOS))
        return t, dict(zones=sides)

    def flag_pair(self, g, split):
        """Two flags side by side, and the colours of each."""
        t, both = canvas(g, CLOTH), []
        for x in (0, 25):
            (a, _, has), y = choice(g, self.flags[split]), int(g.integers(3, T - 20))
            t[y:y + 17, x:x + 23] = np.asarray(Image.fromarray(a).resize((23, 17), Image.Resampling.LANCZOS))
            both.append(has)
        return t, dict(both=both)

    # ------------------------------------------------------------ two things in one picture
    def priced(self, g, split):
        """A photograph and a digit beside it."""
        t = canvas(g)
        photo, facts = self.photo(g, split, int(g.integers(30, 33)))
        n, value = len(photo), int(g.integers(10))
        x, y = int(choice(g, [0, T - n])), int(g.integers(T - n + 1))
        t[y:y + n, x:x + n] = photo
        m = self.digit(g, split, value, 16)
        paste(t, ink(m, choice(g, INK)), 0 if x else T - 16, int(g.integers(T - 15)))
        return t, dict(name=facts["name"], signs=[str(value)])

    def mixed(self, g, split):
        """Drawings and digits, two to four, each in a corner."""
        t, k = canvas(g), int(g.integers(2, 5))
        digits = some(g, [str(d) for d in range(10)], k)
        names = [n if g.random() < 0.5 else d for n, d in zip(some(g, self.small, k), digits)]
        cells = [int(c) for c in g.permutation(4)[:k]]
        colour = choice(g, INK)
        for name, c in zip(names, cells):
            if name.isdigit():
                art = ink(self.digit(g, split, int(name), int(g.integers(20, 25))), colour)
            else:
                art = self.little(g, split, name)
            paste(t, art, *inside(g, art, cell(c)))
        return t, dict(names=names, cells=cells)

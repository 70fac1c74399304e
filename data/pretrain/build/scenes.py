"""The pictures. Each scene draws one 48x48 tile and returns (tile, facts) for the questions to use."""
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

import sources
from sources import T, TASK_NAMES

PAPER = [(255, 255, 255), (255, 255, 255), (244, 240, 232), (232, 240, 248), (236, 248, 236), (250, 236, 236),
         (228, 228, 228), (255, 248, 214)]
INK = [(20, 20, 20), (150, 20, 30), (20, 50, 140), (10, 90, 50), (90, 30, 110), (120, 70, 10)]
CHALK = [(255, 255, 255), (255, 240, 170), (200, 235, 255), (220, 255, 210)]
BOARD = [(30, 30, 30), (120, 20, 30), (20, 50, 130), (10, 80, 50), (90, 60, 20)]
MAP = {"red": (230, 25, 75), "green": (60, 180, 75), "yellow": (255, 225, 25), "blue": (67, 99, 216),
       "orange": (245, 130, 49), "purple": (145, 30, 180), "cyan": (70, 240, 240), "pink": (250, 190, 190),
       "brown": (138, 90, 43), "gray": (128, 128, 128)}
SEA = [(238, 244, 255), (255, 255, 255), (220, 236, 248)]
CLOTH = {"red": [(206, 17, 38), (239, 51, 64), (180, 20, 30)], "blue": [(0, 56, 168), (0, 82, 180), (60, 130, 220)],
         "green": [(0, 122, 61), (0, 150, 57), (20, 90, 40)], "yellow": [(252, 209, 22), (255, 230, 0), (250, 220, 80)],
         "black": [(0, 0, 0), (20, 20, 20)], "white": [(255, 255, 255)], "orange": [(255, 130, 0), (250, 150, 40)]}
COLORS = ["red", "blue", "green", "yellow", "black"]


def box_text(b):
    """x0 y0 x1 y1 in pixels -> '[0.10, 0.20, 0.50, 0.90]' on a grid of 0.05."""
    return "[" + ", ".join(f"{min(20, max(0, round(v / T * 20))) / 20:.2f}" for v in b) + "]"


def canvas(g, colors=PAPER):
    return np.full((T, T, 3), colors[g.integers(len(colors))], np.float32)


def choice(g, items):
    return items[g.integers(len(items))]


def some(g, items, n):
    return [items[i] for i in g.permutation(len(items))[:n]]


def blend(t, mask, color, x, y):
    h, w = mask.shape
    part = t[y:y + h, x:x + w]
    part += (np.asarray(color, np.float32) - part) * mask[..., None]


class Studio:
    """Holds the sources; every method draws one scene from the generator g."""

    def __init__(self):
        self.named, self.clocks = sources.drawings()
        self.names = sorted(self.named)
        self.often = sorted(TASK_NAMES | set(sources.CONCEPTS["extra"]["other"]))
        self.glosses = sources.glosses()
        self.fonts, self.digits, self.photos = sources.fonts(), sources.digits(), sources.photographs()
        self.by_class = {}
        for n in self.names:
            if self.named[n][0]:
                self.by_class.setdefault(self.named[n][0], []).append(n)

    # ------------------------------------------------------------ drawings
    def paste(self, g, t, art, size, area):
        """Scales the art to `size`, places it inside area (x0, y0, x1, y1), returns its box."""
        f = size / max(art.shape[:2])
        w, h = max(3, round(art.shape[1] * f)), max(3, round(art.shape[0] * f))
        im = np.asarray(Image.fromarray(art).resize((w, h), Image.Resampling.BOX if f < 0.7 else Image.Resampling.BICUBIC), np.float32)
        x, y = g.integers(area[0], area[2] - w + 1), g.integers(area[1], area[3] - h + 1)
        blend_a = im[..., 3:] / 255
        t[y:y + h, x:x + w] = t[y:y + h, x:x + w] * (1 - blend_a) + im[..., :3] * blend_a
        return int(x), int(y), int(x + w), int(y + h)

    def name(self, g):
        return choice(g, self.often if g.random() < 0.25 else self.names)

    def single(self, g, name=None, style=None):
        name = name or self.name(g)
        t = canvas(g)
        art = self.named[name][1][g.integers(3) if style is None else style]
        size = g.integers(34, 48) if g.random() < 0.75 else g.integers(18, 34)
        box = self.paste(g, t, art, int(size), (0, 0, T, T))
        return t, dict(names=[name], boxes=[box], cells=[None], size=int(size))

    def collage(self, g):
        t, k = canvas(g), int(g.choice([1, 2, 2, 3, 3, 4]))
        names = [self.name(g) for _ in range(k)]
        if k > 1 and g.random() < 0.3:
            names[1] = names[0]
        if k > 2 and g.random() < 0.12:
            names[2] = names[0]
        cells, boxes = [int(c) for c in g.permutation(4)[:k]], []
        for n, c in zip(names, cells):
            x, y = c % 2 * 24, c // 2 * 24
            boxes.append(self.paste(g, t, self.named[n][1][g.integers(3)], int(g.integers(18, 25)), (x, y, x + 24, y + 24)))
        o = np.argsort(cells)
        return t, dict(names=[names[i] for i in o], cells=[cells[i] for i in o], boxes=[boxes[i] for i in o])

    def clock(self, g):
        hour, t = int(g.integers(1, 13)), canvas(g)
        self.paste(g, t, self.clocks[hour][g.integers(3)], int(g.integers(34, 48)), (0, 0, T, T))
        return t, dict(hour=hour)

    # ------------------------------------------------------------ signs
    def letters(self, g):
        """One to four capitals: random, or a word of a name, but none that a task uses as a name (02-textvqa tests some)."""
        n = int(g.choice([1, 2, 2, 3, 3, 3, 4, 4]))
        short = [w for name in self.names for w in name.split() if w.isalpha() and len(w) == n and w not in self.often]
        word = choice(g, short) if short and n > 2 and g.random() < 0.4 else "".join(chr(97 + c) for c in g.integers(26, size=n))
        im = Image.new("L", (420, 200))
        ImageDraw.Draw(im).text((210, 100), word.upper(), 255, font=choice(g, self.fonts), anchor="mm")
        m = np.asarray(im.rotate(g.uniform(-5, 5), Image.Resampling.BICUBIC), np.float32) / 255
        y, x = np.where(m > 0.15)
        m = Image.fromarray((m[y.min():y.max() + 1, x.min():x.max() + 1] * 255).astype(np.uint8))
        width = g.integers(20, 32) if n == 1 else g.integers(40, 48)
        f = min(width / m.width, 36 / m.height) * (g.uniform(0.75, 1) if g.random() < 0.2 else 1)
        size = max(4, round(m.width * f)), max(4, round(m.height * f))
        m = np.clip(np.asarray(m.resize(size, Image.Resampling.BILINEAR), np.float32) / 255 * 1.15, 0, 1)
        dark = g.random() < 0.85
        t = canvas(g, PAPER if dark else BOARD)
        if g.random() < 0.12:
            t = self.flag(g)[0] * 0.35 + (165 if dark else 0)
        self.centre(g, t, m, choice(g, INK if dark else CHALK))
        return t, dict(signs=list(word), what="letter")

    def centre(self, g, t, m, ink, slack=3):
        h, w = m.shape
        x = int(np.clip((T - w) // 2 + g.integers(-slack, slack + 1), 0, T - w))
        y = int(np.clip((T - h) // 2 + g.integers(-slack, slack + 1), 0, T - h))
        blend(t, m, ink, x, y)

    def number(self, g):
        """Handwritten digits, each redrawn with another slant, size and thickness; some printed ones."""
        n = int(g.choice([1, 1, 2, 2, 2, 3, 3]))
        values, side = [int(v) for v in g.integers(10, size=n)], {1: 34, 2: 24, 3: 16}[n]
        side = int(side * g.uniform(0.82, 1))
        row, printed = np.zeros((side + 4, side * n), np.float32), g.random() < 0.2
        font, slant = choice(g, self.fonts), g.uniform(-0.25, 0.25)
        for k, v in enumerate(values):
            if printed:
                im = Image.new("L", (96, 96))
                ImageDraw.Draw(im).text((48, 48), str(v), 255, font=font, anchor="mm")
                im = im.crop(im.getbbox())
            else:
                im = Image.fromarray((choice(g, self.digits[v]) * 255).astype(np.uint8))
            im = im.resize((max(3, int(side * im.width / im.height * g.uniform(0.8, 1.1))), side), Image.Resampling.BILINEAR)
            if im.width > side:
                im = im.resize((side, side), Image.Resampling.BILINEAR)
            big = Image.new("L", (side * 2, side * 2))
            big.paste(im, ((side * 2 - im.width) // 2, side // 2))
            c, s = np.cos(a := g.uniform(-0.18, 0.18)), np.sin(a)
            big = big.transform(big.size, Image.Transform.AFFINE, (c, s + slant, side * (1 - c - s - slant), -s, c, side * (1 + s - c)), Image.Resampling.BILINEAR)
            m = np.asarray(big.crop((side // 2, side // 2 - 2, side // 2 + side, side // 2 + side + 2)), np.float32) / 255
            m = np.clip(m * g.uniform(0.9, 1.6), 0, 1) ** g.uniform(0.7, 1.5)
            row[:, k * side:(k + 1) * side] = m[:side + 4, :side]
        dark = g.random() < 0.85
        t = canvas(g, PAPER if dark else [(30, 30, 30), (20, 40, 90), (80, 20, 30)])
        self.centre(g, t, row[:T, :T], choice(g, INK if dark else CHALK), 2)
        return t, dict(signs=[str(v) for v in values], what="digit")

    # ------------------------------------------------------------ maps
    def chart(self, g):
        """A map of warped cells in the colours of 00-pretrain's windows, with thin black borders."""
        z, n = 3, int(g.integers(3, 9))
        yy, xx = (np.mgrid[:T * z, :T * z] + 0.5) / (T * z)
        u, v = xx.copy(), yy.copy()
        for _ in range(6):
            f, p = g.uniform(-14, 14, 2), g.uniform(0, 6.3, 2)
            amp = 0.35 / (4 + np.abs(f).sum())
            u += amp * np.sin(f[0] * xx + f[1] * yy + p[0])
            v += amp * np.sin(f[1] * xx - f[0] * yy + p[1])
        px, py, weight = g.random(n), g.random(n), g.uniform(0.6, 1.7, n)
        label = np.argmin([np.hypot(u - a, (v - b) * 1.1) / w for a, b, w in zip(px, py, weight)], 0)
        owner = g.permutation(10)[:n]
        owner[g.random(n) < 0.3] = 10                                   # open water
        if n > 4 and g.random() < 0.3:
            owner[0] = owner[1]                                         # a country in two parts
        if g.random() < 0.35:                                           # a coast
            owner = np.append(owner, 10)
            a = g.uniform(0, 6.3)
            label[(u - 0.5) * np.cos(a) + (v - 0.5) * np.sin(a) > g.uniform(0.1, 0.4)] = n
        own = owner[label]
        rgb = np.array(list(MAP.values()) + [choice(g, SEA)], np.float32)[own]
        edge = np.zeros(own.shape, bool)
        edge[:, 1:] |= own[:, 1:] != own[:, :-1]
        edge[1:] |= own[1:] != own[:-1]
        rgb[edge] *= 0.25
        t = rgb.reshape(T, z, T, z, 3).mean((1, 3))
        regions, mid = {}, own[1::z, 1::z]
        for k, c in enumerate(MAP):
            y, x = np.where(mid == k)
            if len(y) >= 10:
                regions[c] = dict(area=len(y), box=(x.min(), y.min(), x.max() + 1, y.max() + 1), cx=x.mean() / T, cy=y.mean() / T)
        ok = [c for c, q in regions.items() if q["area"] >= 60 and min(q["box"][2] - q["box"][0], q["box"][3] - q["box"][1]) >= 7]
        if len(regions) < 2 or not ok:
            return self.chart(g)
        extremes = {}
        for word, key, sign, gap in (("northernmost", "cy", 1, 0.08), ("southernmost", "cy", -1, 0.08), ("westernmost", "cx", 1, 0.08), ("easternmost", "cx", -1, 0.08), ("largest", "area", -1, None)):
            o = sorted(regions, key=lambda c: sign * regions[c][key])
            d = abs(regions[o[0]][key] - regions[o[1]][key])
            if o[0] in ok and d > (gap if gap else 0.2 * regions[o[0]][key]):
                extremes[word] = o[0]
        return t, dict(regions=regions, ok=ok, extremes=extremes)

    # ------------------------------------------------------------ flags
    def cloth(self, g, w, h):
        """An invented flag: (h, w, 3) picture, its colours, zones and the run of its stripes."""
        z, inks = 3, some(g, list(CLOTH), 5)
        im = Image.new("L", (w * z, h * z), 0)
        d, W, H, kind, stripes = ImageDraw.Draw(im), w * z, h * z, g.integers(6), None
        if kind < 4:
            n = int(g.choice([2, 3, 3, 3, 5]))
            order = [0, 1, 2, 1, 0] if n == 5 else [0, 1, 0] if n == 3 and g.random() < 0.3 else list(range(n))
            stripes = "horizontal" if kind < 2 else "vertical"
            for i, c in enumerate(order):
                d.rectangle((0, H * i // n, W, H * (i + 1) // n) if stripes == "horizontal" else (W * i // n, 0, W * (i + 1) // n, H), fill=c)
        elif kind == 4:
            d.line((0, H, W, 0), 1, int(H * g.uniform(0.15, 0.4)))
            if g.random() < 0.5:
                d.polygon([(0, 0), (W, 0), (0, H)], fill=2)
        for _ in range(int(g.choice([0, 0, 1, 1, 2]))):
            c, what = int(g.integers(5)), g.integers(6)
            if what == 0:
                d.polygon([(0, 0), (W * g.uniform(0.3, 0.5), H / 2), (0, H)], fill=c)
            elif what == 1:
                r = H * g.uniform(0.12, 0.3)
                d.ellipse((W / 2 - r, H / 2 - r, W / 2 + r, H / 2 + r), fill=c)
            elif what == 2:
                x, y, b = W * choice(g, [0.36, 0.5]), H / 2, H * g.uniform(0.06, 0.12)
                d.rectangle((x - b, 0, x + b, H), fill=c)
                d.rectangle((0, y - b, W, y + b), fill=c)
            elif what == 3:
                d.rectangle((0, 0, W * 0.42, H * 0.5), fill=c)
            else:
                cx, cy, r = W * choice(g, [0.2, 0.5]), H * choice(g, [0.25, 0.5]), H * g.uniform(0.1, 0.24)
                a = -np.pi / 2 + np.arange(10) * np.pi / 5
                q = np.where(np.arange(10) % 2, 0.4, 1) * r
                d.polygon([(cx + s * np.cos(b), cy + s * np.sin(b)) for s, b in zip(q, a)], fill=c)
            if what < 4 and stripes:
                stripes = None
        own = np.asarray(im)
        ink = np.array([choice(g, CLOTH[c]) for c in inks], np.float32)[own]
        color, zones = {}, {}
        for c in COLORS:
            f = float((own == inks.index(c)).mean()) if c in inks else 0.0
            if f > 0.06 or f == 0:
                color[c] = f > 0
        for zone, part in (("top", own[:H // 8, W // 16:-W // 16]), ("bottom", own[-H // 8:, W // 16:-W // 16]), ("left", own[H // 9:-H // 9, :W // 8]), ("right", own[H // 9:-H // 9, -W // 8:]), ("center", own[H * 14 // 36:H * 22 // 36, W * 18 // 48:W * 30 // 48])):
            v, k = np.unique(part, return_counts=True)
            if k.max() >= 0.85 * part.size:
                zones[zone] = inks[v[k.argmax()]]
        return ink.reshape(h, z, w, z, 3).mean((1, 3)), color, zones, stripes

    def flag(self, g):
        w = int(g.choice([36, 40, 44, 48]))
        h = w * 3 // 4
        pic, color, zones, stripes = self.cloth(g, w, h)
        t = np.full((T, T, 3), choice(g, [228, 236, 214]), np.float32)
        y, x = g.integers(0, T - h + 1), g.integers(0, T - w + 1)
        t[y:y + h, x:x + w] = pic
        return t, dict(color=color, zones=zones, stripes=stripes)

    def pair(self, g):
        t, out = np.full((T, T, 3), choice(g, [228, 236, 214]), np.float32), []
        for x in (0, 25):
            y, (pic, color, _, _) = g.integers(3, T - 20), self.cloth(g, 23, 17)
            t[y:y + 17, x:x + 23] = pic
            out.append(color)
        return t, dict(two=out)

    # ------------------------------------------------------------ photographs
    def photo(self, g, useless=None):
        """A photograph, moved, stretched, tinted and sometimes damaged. Its two-letter code names the original:
        to know it again in all its forms, a model has to keep the details that the five groups do not need."""
        number = int(g.integers(len(self.photos)))
        src, part = self.photos[number]
        im = Image.fromarray(src)
        if g.random() < 0.5:
            im = im.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        w, h = (int(T * s) for s in g.uniform(0.8, 1.12, 2))
        big = Image.new("RGB", (72, 72))
        big.paste(im.resize((w, h), Image.Resampling.BILINEAR), ((72 - w) // 2 + int(g.integers(-3, 4)), (72 - h) // 2 + int(g.integers(-3, 4))))
        t = np.asarray(big.crop((12, 12, 60, 60)), np.float32)
        bare, useless, quality = t.max(2), g.random() < 0.2 if useless is None else useless, "clear"
        k = g.integers(4)
        if useless:
            quality = None
            if k == 0:
                t = self.blur(t, g.uniform(7, 10))
            elif k == 1:
                t = t * g.uniform(0.01, 0.05) + np.abs(g.normal(0, 5, (T, T, 1)))
            elif k == 2:
                x, y, s = g.integers(14, 24), g.integers(14, 24), int(g.integers(7, 11))
                t = self.blur(np.asarray(Image.fromarray(t.astype(np.uint8)).crop((x, y, x + s, y + s)).resize((T, T), Image.Resampling.BILINEAR), np.float32), 1.5)
            else:
                yy, xx = np.mgrid[:T, :T]
                a = np.clip((1.25 - np.hypot((xx - g.integers(18, 31)) / g.uniform(20, 28), (yy - g.integers(18, 31)) / g.uniform(20, 28))) * 5, 0, 1)[..., None]
                t = t * (1 - a) + np.array([190, 120, 95]) * g.uniform(0.5, 1) * a
        else:
            t = t * np.array(choice(g, [(1, 1, 1), (1, 1, 1), (1, 0.86, 0.66), (0.7, 0.86, 1), (0.8, 1, 0.8), (1, 0.8, 0.8)]), np.float32)
            if k == 0:
                t, quality = self.blur(t, g.uniform(1, 2)), "blurred"
            elif k == 1:
                t, quality = t * g.uniform(0.3, 0.55), "dark"
        t = np.round(t / 8) * 8
        facts = dict(part=part, quality=quality, code=f"{chr(97 + number // 26)} {chr(97 + number % 26)}")
        y, x = np.where(bare > max(40, 0.25 * bare.max()))
        if not useless and bare[0].max() < 60 and len(y) > 100:
            facts["box"] = (x.min(), y.min(), x.max() + 1, y.max() + 1)
            rows = {n: bare[int(q * T)] > 40 for n, q in (("upper", 0.25), ("middle", 0.5), ("lower", 0.75))}
            facts["ends"] = {n: [f"{round(v / T * 20) / 20:.2f}" for v in (np.argmax(r), T - np.argmax(r[::-1]))] for n, r in rows.items() if r.any()}
            facts["width"] = {n: f"{min(20, round(r.sum() / T * 20)) / 20:.2f}" for n, r in rows.items()}
            a, b = bare[:T // 2].mean(), bare[T // 2:].mean()
            if abs(a - b) > 0.2 * max(a, b):
                facts["bright"] = "upper" if a > b else "lower"
        return t, facts

    @staticmethod
    def blur(t, s):
        return np.asarray(Image.fromarray(np.clip(t, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(s)), np.float32)

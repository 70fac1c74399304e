"""What all scenes need: colours, tiles, and pasting onto them."""
import numpy as np
from PIL import Image

from sources import T

PAPER = [(255, 255, 255), (244, 240, 232), (232, 240, 248), (236, 248, 236), (250, 236, 236), (228, 228, 228),
         (255, 248, 214)]
INK = [(20, 20, 20), (150, 20, 30), (20, 50, 140), (10, 90, 50), (90, 30, 110), (120, 70, 10)]
BOARD = [(30, 30, 30), (20, 40, 90), (80, 20, 30), (10, 70, 45)]
CHALK = [(255, 255, 255), (255, 240, 170), (200, 235, 255), (220, 255, 210)]
CLOTH = [(228, 228, 228), (236, 236, 236), (214, 214, 214)]
COLOURS = {"red": (230, 25, 75), "green": (60, 180, 75), "yellow": (255, 225, 25), "blue": (67, 99, 216),
           "orange": (245, 130, 49), "purple": (145, 30, 180), "cyan": (70, 240, 240), "pink": (250, 190, 190),
           "brown": (138, 90, 43), "gray": (128, 128, 128)}
PLAIN = ["red", "green", "yellow", "blue", "purple", "black"]
FINE = 4                                # shapes and maps are drawn so much larger, and averaged


def choice(g, items):
    return items[int(g.integers(len(items)))]


def some(g, items, n):
    return [items[int(i)] for i in g.permutation(len(items))[:n]]


def canvas(g, colours=PAPER):
    return np.full((T, T, 3), choice(g, colours), np.float32)


def scaled(art, size, method=Image.Resampling.BICUBIC):
    """Art (RGBA) whose longer side is `size`."""
    h, w = art.shape[:2]
    f = size / max(h, w)
    shape = max(3, round(w * f)), max(3, round(h * f))
    return np.asarray(Image.fromarray(art).resize(shape, method), np.float32)


def paste(tile, art, x, y):
    h, w = art.shape[:2]
    a = art[..., 3:] / 255
    tile[y:y + h, x:x + w] = tile[y:y + h, x:x + w] * (1 - a) + art[..., :3] * a


def inside(g, art, area):
    """A place for art in area (x0, y0, x1, y1)."""
    h, w = art.shape[:2]
    return int(g.integers(area[0], area[2] - w + 1)), int(g.integers(area[1], area[3] - h + 1))


def cell(c):
    return c % 2 * 24, c // 2 * 24, c % 2 * 24 + 24, c // 2 * 24 + 24


def ink(mask, colour):
    """A mask in 0..1 as RGBA of one colour."""
    return np.dstack([np.full(mask.shape + (3,), colour, np.float32), mask * 255])

"""Six plain shapes."""
import numpy as np
from PIL import Image, ImageDraw

from paint import FINE

SHAPES = ["circle", "square", "star", "heart", "diamond", "ring"]


def shape_mask(kind, size):
    """One of SHAPES, (size, size) in 0..1."""
    n = size * FINE
    im = Image.new("L", (n, n))
    d, e = ImageDraw.Draw(im), n - 1
    if kind == "circle":
        d.ellipse((0, 0, e, e), fill=255)
    elif kind == "square":
        d.rectangle((n * 0.06, n * 0.06, n * 0.94, n * 0.94), fill=255)
    elif kind == "ring":
        d.ellipse((0, 0, e, e), fill=255)
        d.ellipse((n * 0.28, n * 0.28, n * 0.72, n * 0.72), fill=0)
    elif kind == "diamond":
        d.polygon([(n / 2, 0), (n * 0.85, n / 2), (n / 2, e), (n * 0.15, n / 2)], fill=255)
    elif kind == "heart":
        d.ellipse((0, n * 0.05, n * 0.54, n * 0.59), fill=255)
        d.ellipse((n * 0.46, n * 0.05, e, n * 0.59), fill=255)
        d.polygon([(n * 0.05, n * 0.45), (n * 0.95, n * 0.45), (n / 2, e)], fill=255)
    else:
        turn = -np.pi / 2 + np.arange(10) * np.pi / 5
        r = np.where(np.arange(10) % 2, 0.21, 0.52) * n
        d.polygon([(n / 2 + a * np.cos(t), n * 0.53 + a * np.sin(t)) for a, t in zip(r, turn)], fill=255)
    return np.asarray(im, np.float32).reshape(size, FINE, size, FINE).mean((1, 3)) / 255

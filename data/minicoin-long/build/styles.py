"""Other styles in which a kind of picture comes back: (g, tile) -> tile."""
import numpy as np
from PIL import Image, ImageFilter


def worn(g, tile):
    """A photograph in coloured light, blurred or dark, more or less."""
    light = [(1, 0.86, 0.66), (0.7, 0.86, 1), (0.8, 1, 0.8), (1, 0.8, 0.8)][int(g.integers(4))]
    out = np.maximum(tile, g.integers(0, 40)) * (1 - g.uniform(0, 1) * (1 - np.array(light, np.float32)))
    if g.random() < 0.5:
        picture = Image.fromarray(np.clip(out, 0, 255).astype(np.uint8))
        out = np.asarray(picture.filter(ImageFilter.GaussianBlur(g.uniform(0.4, 1.4))), np.float32)
    else:
        out = out * g.uniform(0.4, 0.8)
    return np.round(out / 8) * 8


def sketch(g, tile):
    """More or less grey and pale, as with a pencil."""
    grey = np.repeat((tile @ np.array([0.3, 0.59, 0.11], np.float32))[..., None], 3, 2)
    out = tile + (grey - tile) * g.uniform(0.3, 1)
    return 255 - (255 - out) * g.uniform(0.6, 1)


def night(g, tile):
    """More or less dark and bluish."""
    return tile * (1 - g.uniform(0.15, 1) * (1 - np.array([0.4, 0.45, 0.65], np.float32)))

"""Maps: windows on the countries of the world, coloured at random."""
import struct

import numpy as np
from PIL import Image, ImageDraw

from paint import COLOURS, FINE, choice, some
from sources import T, TEST, TRAIN

SEA = [(238, 244, 255), (255, 255, 255), (220, 236, 248)]
SMALLEST, WIDEST = 2, 60                # degrees that a country in the middle of a window spans
SEEN, ASKED = 0.012, 0.03               # least shares of the window for a country that counts, or is the answer
CLEAR = 0.1                             # by how much of the window it lies further out than the next


def countries(work):
    """Outlines of the countries of the world: for each a list of rings, (n, 2) longitude and latitude."""
    data = (work / "geopandas/datasets/naturalearth_lowres/naturalearth_lowres.shp").read_bytes()
    out, at = [], 100                                       # after the header: records of parts and points
    while at < len(data):
        length = struct.unpack(">i", data[at + 4:at + 8])[0] * 2
        record = data[at + 8:at + 8 + length]
        parts, points = struct.unpack("<2i", record[36:44])
        first = list(struct.unpack(f"<{parts}i", record[44:44 + 4 * parts])) + [points]
        xy = np.frombuffer(record, "<f8", 2 * points, 44 + 4 * parts).reshape(-1, 2)
        out.append([xy[a:b] for a, b in zip(first, first[1:])])
        at += 8 + length
    return out


def in_view(ring, left, top, w):
    (x0, y0), (x1, y1) = ring.min(0), ring.max(0)
    return x1 > left and x0 < left + w and y1 > top - w and y0 < top


class World:
    """All countries; windows of tests lie around 50 of them, those for training around the others."""

    def __init__(self, work, g):
        self.countries = countries(work)
        order = some(g, range(len(self.countries)), len(self.countries))
        self.centres = {TRAIN: order[50:], TEST: order[:50]}

    def draw(self, g, split):
        """A window around a country of this split: the tile, and which colour lies outermost on each side."""
        while True:
            rings = self.countries[choice(g, self.centres[split])]
            big = max(rings, key=len)
            (x0, y0), (x1, y1) = big.min(0), big.max(0)
            side = max(x1 - x0, y1 - y0)
            w = side * g.uniform(1.05, 2.0)
            left = (x0 + x1 - w) / 2 + g.uniform(-0.25, 0.25) * w
            top = (y0 + y1 + w) / 2 + g.uniform(-0.25, 0.25) * w
            if SMALLEST <= side <= WIDEST and (found := self.window(g, split, left, top, w)):
                return found

    def window(self, g, split, left, top, w):
        own = self.owners(left, top, w)
        share = {int(k) - 1: float((own == k).mean()) for k in np.unique(own) if k}
        land = [k for k in share if share[k] > SEEN]
        others = sum(share[k] for k in land if k in self.centres[TEST])
        if not 3 <= len(land) <= 8 or split == TRAIN and others > 0.25:
            return None                                     # a train window shows little of the countries of tests
        colours = some(g, list(COLOURS), len(land))
        extremes = {}
        middle = {c: np.argwhere(own == k + 1).mean(0) / len(own) for k, c in zip(land, colours)}
        table = np.full((len(self.countries) + 1, 3), choice(g, SEA), np.float32)
        for k, c in zip(land, colours):
            table[k + 1] = COLOURS[c]
        for word, axis, sign in (("highest", 0, 1), ("lowest", 0, -1), ("leftmost", 1, 1), ("rightmost", 1, -1)):
            first, second = sorted(colours, key=lambda c: sign * middle[c][axis])[:2]
            clear = abs(middle[first][axis] - middle[second][axis]) > CLEAR
            if clear and share[land[colours.index(first)]] > ASKED:
                extremes[word] = first
        return (self.painted(own, table), dict(extremes=extremes)) if extremes else None

    def owners(self, left, top, w):
        """For each fine pixel the number of its country, from 1; 0 is the sea."""
        n = T * FINE
        im = Image.new("I", (n, n), 0)
        d = ImageDraw.Draw(im)
        for k, rings in enumerate(self.countries):
            for ring in rings:
                if in_view(ring, left, top, w):
                    xy = np.stack([ring[:, 0] - left, top - ring[:, 1]], 1) * (n / w)
                    d.polygon([tuple(p) for p in np.clip(xy, -n, 2 * n)], fill=k + 1)
        return np.asarray(im)

    def painted(self, own, table):
        """The tile, with thin dark borders."""
        rgb, edge = table[own], np.zeros(own.shape, bool)
        edge[:, 1:] |= own[:, 1:] != own[:, :-1]
        edge[1:] |= own[1:] != own[:-1]
        rgb[edge] *= 0.2
        return rgb.reshape(T, FINE, T, FINE, 3).mean((1, 3))

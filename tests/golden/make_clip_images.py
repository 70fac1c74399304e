#!/usr/bin/env python3
"""Writes tests/golden/clip_images/: small pictures, and what Pillow and CLIPImageProcessor make of them.

Made with Python 3.11 and
    pillow==13.0.0 transformers==5.24.0 numpy==2.4.6 safetensors==0.8.0
usage: tests/golden/make_clip_images.py

  <name>.png            a picture
  expected.safetensors  <name>.crop, <name>.pad: 32 x 32 x 3, before rescaling, as CLIP and as LLaVA
                        make a square; <name>.pixels: 3 x 32 x 32, cropped and normalised;
                        <name>.21x45: resized to 21 x 45
"""

import pathlib

import numpy
import safetensors.numpy
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

FOLDER = pathlib.Path(__file__).parent / "clip_images"
SIZE = 32


def picture(width, height, seed):
    """Slopes, noise and hard edges, so that the bicubic kernel overshoots."""
    draw = numpy.random.default_rng(seed)
    y, x = numpy.mgrid[:height, :width]
    rgb = numpy.stack([x * 255 / width, y * 255 / height, (x + y) % 64 * 4], -1)
    rgb += draw.normal(0, 12, rgb.shape)
    rgb[height // 4:height // 2, width // 3:width // 2] = [255, 0, 255]
    rgb[height // 2:height // 2 + 3, :] = 0
    return Image.fromarray(rgb.clip(0, 255).astype(numpy.uint8))


def padded(image, colour):
    """A square of the longer side with the picture in the middle."""
    side = max(image.size)
    square = Image.new("RGB", (side, side), colour)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def main():
    FOLDER.mkdir(exist_ok=True)
    processor = CLIPImageProcessorPil(size={"shortest_edge": SIZE},
                                      crop_size={"height": SIZE, "width": SIZE})
    colour = tuple(int(m * 255) for m in processor.image_mean)
    raw = {"do_rescale": False, "do_normalize": False, "return_tensors": "np"}
    tensors = {}
    for seed, (name, size) in enumerate(
            {"landscape": (97, 64), "portrait": (24, 61), "strip": (90, 7)}.items()):
        image = picture(*size, seed)
        image.save(FOLDER / f"{name}.png", optimize=True)
        last = lambda batch: numpy.ascontiguousarray(batch["pixel_values"][0].transpose(1, 2, 0))
        tensors[f"{name}.crop"] = last(processor(image, **raw)).astype(numpy.uint8)
        tensors[f"{name}.pad"] = last(processor(padded(image, colour), **raw)).astype(numpy.uint8)
        tensors[f"{name}.pixels"] = numpy.ascontiguousarray(
            processor(image, return_tensors="np")["pixel_values"][0]).astype(numpy.float32)
        tensors[f"{name}.21x45"] = numpy.asarray(image.resize((21, 45), Image.Resampling.BICUBIC))
    safetensors.numpy.save_file(tensors, FOLDER / "expected.safetensors")


if __name__ == "__main__":
    main()

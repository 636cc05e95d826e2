"""Captions: every picture has one, and they lie beside the pictures."""

import re
from pathlib import Path

import numpy as np
from PIL import Image

from genlab.plots.captions import CAPTIONS, caption, write_captions
from genlab.plots.images import save_png
from tests.helpers.processes import REPOSITORY

PICTURE = re.compile(r'pictures\["(\w+)"\] \|?= ')


def test_every_picture_that_is_drawn_has_a_caption() -> None:
    drawn = set()
    for room in ("inference", "evaluation"):
        for path in (REPOSITORY / "genlab" / room).glob("*.py"):
            drawn |= set(PICTURE.findall(path.read_text()))
    assert len(drawn) > 10
    assert drawn - CAPTIONS.keys() == set()
    assert all(text.endswith(".") and len(text) > 30 for text in CAPTIONS.values())


def test_captions_lie_beside_the_pictures_and_in_them(tmp_path: Path) -> None:
    picture = np.full((3, 4, 3), 200, dtype=np.uint8)
    for name in ("samples", "samples_0000000100", "mine"):
        save_png(tmp_path / f"{name}.png", picture)
    write_captions(tmp_path, {"mine": "Own words."})
    said = (tmp_path / "captions.md").read_text()
    assert said.count("![") == 2  # of each name the newest
    assert caption("samples") in said
    assert "Own words." in said
    assert Image.open(tmp_path / "samples.png").info["Description"] == caption("samples")
    assert "Description" not in Image.open(tmp_path / "mine.png").info

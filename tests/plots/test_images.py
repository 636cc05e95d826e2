"""Films of pictures that lie in a run folder, some of which may be damaged."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from genlab.plots.images import save_gif, save_png


@pytest.fixture
def frames(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"samples_{k}.png" for k in range(4)]
    for k, path in enumerate(paths):
        save_png(path, np.full((8, 8, 3), 60 * k, dtype=np.uint8))
    return paths


def test_a_film_leaves_out_what_cannot_be_read(frames: list[Path], tmp_path: Path) -> None:
    whole = frames[1].read_bytes()
    frames[0].write_bytes(b"")
    frames[1].write_bytes(whole[: len(whole) // 2])
    save_gif(tmp_path / "film.gif", frames)
    with Image.open(tmp_path / "film.gif") as film:
        assert len(list(ImageSequence.Iterator(film))) == 2


def test_there_is_no_film_of_nothing(frames: list[Path], tmp_path: Path) -> None:
    for frame in frames:
        frame.write_bytes(b"no picture")
    save_gif(tmp_path / "film.gif", frames)
    assert not (tmp_path / "film.gif").exists()

"""Messages about one's own data name the keys that these have, and what was typed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.processes import assert_refused, call

Captured = pytest.CaptureFixture[str]
RNG = np.random.default_rng(0)
SHORT = ("train.examples=200", "hydra.run.dir=run")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    x = RNG.normal(size=(60, 2))
    np.save("x.npy", x)
    lines = [f"{a:.4f},{b:.4f},{('dwarf', 'giant')[k % 2]}" for k, (a, b) in enumerate(x.tolist())]
    Path("x.csv").write_text("\n".join(["mass,radius,kind", *lines]))
    Path("pictures").mkdir()
    for k in range(20):
        Image.fromarray(RNG.integers(0, 256, (8, 8), dtype=np.uint8)).save(f"pictures/{k}.png")


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["dataset=array", "dataset.path=x.npy"], "dataset.labels=FILE"),
        (["dataset=table", "dataset.path=x.csv"], "dataset.label=COLUMN"),
        (["dataset=image_folder", "dataset.path=pictures", "dataset.size=8"], "a sub-folder for each class"),
    ],
)
def test_labels_are_asked_for_by_the_key_that_the_data_have(words: list[str], remedy: str, capsys: Captured) -> None:
    for model in (["model=classifier"], ["model=vae", "model.conditional=true"]):
        outcome = call(["train", *model, *words, *SHORT], capsys)
        assert_refused(outcome, remedy)
        assert sum(key in outcome.err for key in ("dataset.labels=", "dataset.label=", "sub-folder")) == 1


def test_labels_of_an_unconditional_model_are_quoted_as_they_were_typed(capsys: Captured) -> None:
    words = ["model=vae", "model.hidden=[8]", "dataset=table", "dataset.path=x.csv", "dataset.label=kind"]
    assert call(["train", *words, *SHORT], capsys).code == 0
    outcome = call(["sample", "run=run", "labels=[giant]"], capsys)
    assert_refused(outcome, "labels=[giant]: this model has no classes; train with model.conditional=true")


def test_kinds_are_those_of_the_pages(capsys: Captured) -> None:
    outcome = call(["train", "dataset=array", "dataset.path=x.npy", "dataset.kind=foo", *SHORT], capsys)
    assert_refused(outcome, "dataset.kind=foo: choose one of: curves, images, null, vectors")
    assert_refused(
        call(["train", "dataset=array", "dataset.path=x.npy", "dataset.missing=dorp", *SHORT], capsys), "drop"
    )
    assert_refused(
        call(["train", "dataset=array", "dataset.path=x.npy", "dataset.kind=by_shape", *SHORT], capsys), "kind"
    )

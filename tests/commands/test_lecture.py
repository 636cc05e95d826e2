"""The lecture as experiments: a table of contents, sweeps that are part of an experiment, and one picture of each sweep."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from genlab.composition.catalogue import names, topics
from genlab.experiment.experiment import Experiment
from tests.helpers.processes import REPOSITORY, assert_refused, call, info, trained
from tests.helpers.support import configure

LECTURE = list(topics())


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GENLAB_DATA", raising=False)
    return tmp_path


def content(name: str) -> dict[str, Any]:
    found = yaml.safe_load((REPOSITORY / "conf" / "experiment" / f"{name}.yaml").read_text())
    assert isinstance(found, dict)
    return found


def swept(name: str) -> dict[str, list[str]]:
    """What an experiment sweeps over: key -> values."""
    params = content(name).get("hydra", {}).get("sweeper", {}).get("params", {})
    return {key: str(values).split(",") for key, values in params.items()}


def test_every_experiment_of_the_lecture_has_its_place_in_the_contents() -> None:
    assert set(LECTURE) == {name for name in names("experiment") if name.startswith("lecture_")}
    places = [(topic.chapter, topic.number) for topic in topics().values()]
    assert places == sorted(places)
    for chapter in {place[0] for place in places}:
        assert [number for c, number in places if c == chapter] == list(
            range(1, 1 + sum(c == chapter for c, _ in places))
        )
        assert len({topic.title for topic in topics().values() if topic.chapter == chapter}) == 1


@pytest.mark.parametrize("name", LECTURE)
def test_every_experiment_of_the_lecture_has_a_fast_variant_in_all_its_jobs(name: str) -> None:
    (key, values), *more = swept(name).items() or {"seed": ["0"]}.items()
    assert not more
    for value in values:
        chosen = [f"experiment={value}"] if key == "experiment" else [f"experiment={name}", f"{key}={value}"]
        topic = topics()[name]
        fast = configure(*chosen, "device.name=cpu", *(["dataset=digits"] if topic.fast != topic.time else []))
        experiment = Experiment(fast)
        assert fast["dataset"]["_target_"].rpartition(".")[2] in ("digits", "gaussian"), "no download"
        if "start" not in fast["model"] or fast["model"]["start"] is None:
            experiment.build()  # every key fits data of this size
            assert experiment.examples <= 200_000


def test_contents_are_printed_in_the_order_of_the_lecture(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = call(["list", "experiments"], capsys).out
    places = [out.index(f"  {name} ") for name in LECTURE]
    assert places == sorted(places)
    assert places[-1] < out.index("further ones") < out.index("vae_mnist_burda")
    assert out.count("Diffusion models") == 1
    line = next(line for line in out.splitlines() if line.strip().startswith("lecture_vae "))
    assert line.endswith(f"({topics()['lecture_vae'].time}, {topics()['lecture_vae'].fast})")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert max(map(len, call(["list", "experiments"], capsys).out.splitlines())) < 80


def test_the_length_may_depend_on_the_data_set() -> None:
    assert configure("experiment=lecture_rbm", "dataset=digits")["train"]["examples"] == 60_000
    assert configure("experiment=lecture_rbm")["train"]["examples"] == 600_000
    assert configure("experiment=lecture_rbm", "dataset=digits", "train.examples=7000")["train"]["examples"] == 7000


def test_the_listing_of_the_lecture_is_what_it_trains() -> None:
    config = configure("experiment=lecture_rbm")
    model, optimizer, train = config["model"], config["optimizer"], config["train"]
    assert (model["hidden"], model["negative"], model["centred"], model["average"]) == (500, "cd", False, 0)
    assert (optimizer["lr"], optimizer["schedule"], train["batch_size"], train["examples"]) == (
        0.1,
        "constant",
        64,
        600_000,
    )
    assert optimizer["_target_"].endswith("sgd")
    assert (config["dataset"]["binarize"], config["dataset"]["validation"]) == ("dynamic", 0)
    assert swept("lecture_rbm") == {"model.k": ["1", "5", "15"]}


def test_an_experiment_that_is_a_sweep_ends_with_one_picture(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["experiment=lecture_optimizers", "dataset=digits", "optimizer=sgd,adam", "preferred.examples=1500"]
    outcome = call(["train", *words], capsys)  # no -m; and the command line wins over what the experiment sweeps over
    assert (outcome.code, outcome.err) == (0, "")
    runs = trained(here)
    assert [info(run)["state"] for run in runs] == ["finished"] * 2
    sweep = runs[0].parent
    assert str((sweep / "sweep_curves.png").relative_to(here)) in outcome.out
    assert "validation" in Image.open(sweep / "sweep_curves.png").info["Description"]
    assert "sweep_curves.png" in (sweep / "captions.md").read_text()
    for run in runs:
        said = (run / "samples" / "captions.md").read_text()
        assert "![reconstructions](reconstructions.png)" in said
        assert (run / "samples" / "learning_curves.png").exists()


def test_an_experiment_may_sweep_over_other_experiments(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["experiment=lecture_dimension_reduction", "dataset=digits", "train.examples=1500", "seed=3"]
    outcome = call(["train", *words], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    configs = [yaml.safe_load((run / "config.yaml").read_text()) for run in trained(here)]
    models = [config["model"] for config in configs]
    assert [model["_target_"].rpartition(".")[2] for model in models] == ["PCA", "AE", "AE"]
    assert [model.get("hidden") for model in models] == [None, [], [256, 64]]
    assert {config["seed"] for config in configs} == {3}
    assert "lecture_autoencoder_linear" in outcome.out[outcome.out.index("sweep of 3 jobs") :]


def test_a_mistake_in_what_an_experiment_sweeps_over_is_found_before_its_first_job(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["experiment=lecture_autoencoder_outputs", "dataset=digits", "model.loss=bce"]
    assert_refused(call(["train", *words, "model.latent_dim=0"], capsys), "model.latent_dim=0")
    assert not any(path.is_file() for path in here.rglob("*"))

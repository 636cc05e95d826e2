"""What genlab export writes is used without genlab: in a process in which it cannot be imported."""

import json
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from genlab.cli import main
from genlab.experiment.experiment import Experiment
from genlab.experiment.opening import TrainedRun
from genlab.export.bundle import CONTENT, export
from genlab.export.programs import program_of
from genlab.models.base import Model
from genlab.tracking.run_folder import RunFolder
from tests.helpers.own_models import CONFIGURATION, FAMILY
from tests.helpers.processes import assert_refused, call, environment, files
from tests.helpers.support import BRISK, CPU, MODELS, configure, small_data

VARIANTS = {name: [f"model={name}", *BRISK.get(name, ())] for name in MODELS}
VARIANTS |= {
    "vae-mixture": ["model=vae", "model.prior=mixture"],
    "vae-classes": ["model=vae", "model.conditional=true"],
    "gan-classes": ["model=gan", "model.conditional=true", "model.network=mlp"],
    "rbm-classes": ["model=rbm", "model.conditional=true"],
    "diffusion-classes": ["model=diffusion", "model.conditional=true", *BRISK["diffusion"]],
    "flow-classes": ["model=flow_matching", "model.conditional=true", *BRISK["flow_matching"]],
    "pixelcnn-classes": [
        "model=autoregressive",
        "model.network=pixelcnn",
        "model.hidden=[8,8]",
        "model.conditional=true",
        "dataset.binarize=none",
    ],
    "transformer-vectors": [
        "model=autoregressive",
        "model.network=transformer",
        "model.hidden=[8]",
        "dataset=gaussian",
        "dataset.dim=5",
    ],
    "flow-maf": ["model=flow", "dataset=toy2d", "model.layers=autoregressive", "model.depth=2"],
    "made-mixture": [
        "model=autoregressive",
        "model.masks=3",
        "model.order=random",
        "model.hidden=[16]",
        "dataset=gaussian",
        "dataset.dim=4",
    ],
    "ebm-vectors": ["model=ebm", "dataset=gaussian"],
    "vae-vectors": ["model=vae", "dataset=gaussian"],
    "diffusion-vectors": ["model=diffusion", "dataset=gaussian"],
    "flow-couplings": ["model=flow", "dataset=gaussian"],
    "gaussian_rbm-vectors": ["model=gaussian_rbm", "dataset=gaussian"],
}

USUAL = tuple(MODELS)
MORE = tuple(name for name in VARIANTS if name not in USUAL)
every_variant = pytest.mark.parametrize(
    "name", [*USUAL, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)]
)

# Loads every program, compares it with what the model inside genlab gave, and runs the code of its card.
STRANGER = """
import contextlib, io, json, os, re, sys
sys.modules["genlab"] = None
import torch
torch.set_num_threads(1)
found = {}
for name in sorted(os.listdir(".")):
    os.chdir(name)
    said = {}
    for file in ("model", "prior"):
        if os.path.exists(f"{file}.pt2") and os.path.exists(f"{file}.check"):
            inputs, outputs = torch.load(f"{file}.check")
            got = torch.export.load(f"{file}.pt2").module()(*inputs)
            got = got if isinstance(got, tuple) else (got,)
            assert len(got) == len(outputs)
            said[file] = max(float(((a - b).abs() / (1 + b.abs())).max()) for a, b in zip(got, outputs))
    code = re.findall(r"```python\\n(.*?)```", open("CARD.md").read(), re.DOTALL)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code[-1], {})
    said["drawn"] = out.getvalue()
    found[name] = said
    os.chdir("..")
print(json.dumps(found))
"""


def outputs_of(program: Any, model: Model, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    with torch.no_grad():
        found = program.module(model)(*inputs)
    return found if isinstance(found, tuple) else (found,)


def opened(folder: Path, words: list[str]) -> TrainedRun:
    """A run of an untrained model, with some randomness in every parameter."""
    experiment = Experiment(configure(*words), CPU)
    experiment.build()
    run = RunFolder(folder)
    run.create(experiment.config)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in experiment.model.parameters():
            if not experiment.model.closed_form:
                parameter.add_(0.02 * torch.randn_like(parameter))
    return TrainedRun(run, experiment, experiment.model.eval(), 1280)


Exports = Callable[[str], Path]
Found = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """Variant -> the folder of its export, with inputs and what the model inside genlab gives for them."""

    @cache
    def exported(names: tuple[str, ...]) -> Path:
        warnings.simplefilter("ignore")
        place = tmp_path_factory.mktemp("exports")
        runs = tmp_path_factory.mktemp("runs")
        for name in names:
            trained = opened(runs / name, VARIANTS[name])
            export(trained, place / name)
            program = program_of(trained.model)
            assert program is not None
            fixed = json.loads((place / name / "config.json").read_text())["program"]["n"]
            for file, one in {"model": program, **program.beside}.items():
                inputs = tuple(x.repeat(8, *[1] * (x.ndim - 1))[: fixed or 7] for x in one.examples())
                torch.save((inputs, outputs_of(one, trained.model, inputs)), place / name / f"{file}.check")
        return place

    return lambda name: exported(USUAL if name in USUAL else MORE) / name


@pytest.fixture(scope="module")
def stranger(folder_of: Exports) -> Found:
    """Variant -> what a process without genlab found."""

    @cache
    def found(place: Path) -> dict[str, dict[str, Any]]:
        command = [sys.executable, "-I", "-W", "ignore", "-c", STRANGER]
        ended = subprocess.run(command, cwd=place, env=environment(), capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr[-3000:]
        said: dict[str, dict[str, Any]] = json.loads(ended.stdout.splitlines()[-1])
        return said

    return lambda name: found(folder_of(name).parent)[name]


@every_variant
def test_the_program_gives_what_the_model_gives_without_genlab(stranger: Found, name: str) -> None:
    assert stranger(name)["model"] < 1e-6
    if name == "vqvae":
        assert stranger(name)["prior"] < 1e-6


@every_variant
def test_the_code_of_the_card_draws_samples_without_genlab(stranger: Found, folder_of: Exports, name: str) -> None:
    shape, low, high = re.findall(r"\((.*)\) (\S+) (\S+)", stranger(name)["drawn"])[0]
    data = json.loads((folder_of(name) / "config.json").read_text())["data"]
    expected = [10] if name == "classifier" else data["shape"]
    assert [int(n) for n in shape.split(",") if n.strip()] == [16, *expected]
    assert float(low) < float(high)
    if data["support"] != "real":
        assert float(low) >= 0
        assert float(high) <= 1


@every_variant
def test_the_tensors_are_those_of_the_model(folder_of: Exports, name: str, tmp_path: Path) -> None:
    trained = opened(tmp_path / "run", VARIANTS[name])
    found = load_file(folder_of(name) / "model.safetensors")
    assert {key for key in trained.model.state_dict() if "_extra_state" not in key} == set(found)
    for key, value in trained.model.state_dict().items():
        if "_extra_state" not in key and value.is_floating_point():
            torch.testing.assert_close(found[key], value)


def test_the_programs_are_the_methods_of_the_families() -> None:
    """Not only that they agree with themselves: with decode, classify, free_energy and a step of the samplers."""
    h = torch.randn(3, 20)
    vae: Any = opened_model("vae")
    assert torch.equal(outputs_of(program_of(vae), vae, (h,))[0], vae.decode(h))
    classifier: Any = opened_model("classifier")
    x = torch.rand(3, *classifier.data.shape)
    (logits,) = outputs_of(program_of(classifier), classifier, (x,))
    torch.testing.assert_close(logits.log_softmax(1), classifier.classify(x))
    rbm: Any = opened_model("rbm")
    x = (torch.rand(3, *rbm.data.shape) > 0.5).float()
    _, _, free_energy = outputs_of(program_of(rbm), rbm, (x.flatten(1), torch.rand(3, rbm.hidden), torch.rand(3, 64)))
    torch.testing.assert_close(free_energy, rbm.free_energy(x).detach(), rtol=1e-5, atol=1e-4)
    diffusion: Any = opened_model("diffusion")
    x, gamma = torch.randn(3, *diffusion.data.shape), torch.tensor([0.5, 0.5, 0.5])
    torch.testing.assert_close(
        outputs_of(program_of(diffusion), diffusion, (x, gamma))[0], diffusion.denoise(x, torch.tensor(0.5)).detach()
    )


def opened_model(name: str) -> Model:
    torch.manual_seed(0)
    return (
        Experiment(configure(*VARIANTS[name]), CPU)
        .untrained(small_data("binary" if name == "rbm" else "grey").spec)
        .eval()
    )


# The command


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    torch.set_num_threads(1)
    words = ["model=vae", "model.hidden=[16]", "train.examples=2000", f"hydra.run.dir={folder / 'run'}"]
    assert main(["train", *words]) == 0
    return folder / "run"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_card_says_what_others_want_to_know(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call(["export", str(run), "folder=out"], capsys)
    assert outcome.code == 0, outcome.err
    assert "genlab evaluate" in outcome.out
    assert set(files(Path("out"))) == CONTENT - {"prior.pt2", "codes.safetensors"}
    text = (Path("out") / "CARD.md").read_text()
    head = yaml.safe_load(text.split("---")[1])
    assert head == {
        "library_name": "pytorch",
        "tags": ["genlab", "generative-model", "vae"],
        "datasets": ["digits"],
        "pipeline_tag": "unconditional-image-generation",
    }
    assert "# license: " in text
    assert "| elbo | -" in text
    assert " ± " in text
    assert "| nats |" in text
    assert "![Samples of the model](samples.png)" in text
    assert "Variational autoencoder (Kingma & Welling 2014; Rezende et al. 2014)." in text
    assert "| optimizer | adam, rate 0.002, cosine |" in text
    for name, content in files(Path("out")).items():
        if name.endswith((".md", ".json")):
            assert str(run.parent).encode() not in content
            assert b"/home" not in content
            assert b"/tmp" not in content


def test_measures_of_an_evaluation_are_in_the_card(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(run, "run")
    assert call(["evaluate", "run=run", "n=100", "k=2"], capsys).code == 0
    outcome = call(["export", "run", "folder=out"], capsys)
    assert "genlab evaluate" not in outcome.out
    text = (Path("out") / "CARD.md").read_text()
    measured = json.loads(Path("run/metrics.json").read_text())
    assert len(re.findall(r"^\| \w+ \| [-\d(]", text.partition("## Measures")[2], re.MULTILINE)) >= len(measured) / 2
    assert "± " in text.partition("| fid |")[2].splitlines()[0] or "| coverage |" in text


def test_nothing_is_written_over_without_a_word(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["export", str(run), "folder=out"], capsys).code == 0
    before = files(Path("out"))
    assert_refused(call(["export", str(run), "folder=out"], capsys), "folder=out", "overwrite=true")
    assert files(Path("out")) == before
    assert call(["export", str(run), "folder=out", "overwrite=true"], capsys).code == 0
    Path("out/notes.txt").write_text("mine")
    assert_refused(call(["export", str(run), "folder=out", "overwrite=true"], capsys), "notes.txt", "no export")
    assert Path("out/notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], ["one run", "given: none"]),
        (["nowhere"], ["run=nowhere", "no such folder"]),
        (["RUN", "RUN"], ["one run"]),
        (["RUN", "foldr=out"], ["foldr", "did you mean 'folder'?"]),
        (["RUN", "--force"], ["force"]),
        (["RUN", "overwrite=maybe"], ["overwrite=maybe", "true or false"]),
        (["RUN", "checkpoint=first"], ["checkpoint=first"]),
        (["RUN", "folder=file"], ["folder=file is a file"]),
        (["RUN", "checkpoint=best", "folder=there"], ["there holds x"]),
    ],
)
def test_mistakes(run: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: list[str]) -> None:
    Path("file").write_text("text")
    Path("there").mkdir()
    Path("there/x").write_text("text")
    assert_refused(call(["export", *(str(run) if word == "RUN" else word for word in words)], capsys), *said)
    assert set(files(Path())) == {"file", "there/x"}


def test_a_model_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Its log p(x) is the program; its class is allowed as everywhere."""
    Path("conf/model").mkdir(parents=True)
    Path("conf/model/mine.yaml").write_text(CONFIGURATION)
    Path("mine.py").write_text(FAMILY)
    own = ["--config-dir", "conf"]
    assert main(["train", "model=mine", *own, "train.examples=1000", "hydra.run.dir=run"]) == 0
    assert_refused(call(["export", "run", "folder=out"], capsys), "mine.Mine", "allow=")
    outcome = call(["export", "run", "folder=out", "allow=mine.Mine"], capsys)
    assert outcome.code == 0, outcome.err
    program = torch.export.load("out/model.pt2").module()
    x = torch.ones(5, 1, 8, 8)
    a = load_file("out/model.safetensors")["a"]
    torch.testing.assert_close(program(x), a.sigmoid().log().sum().expand(5))

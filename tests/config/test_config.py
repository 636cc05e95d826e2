"""Configuration: every file composes, the command line wins, and every mistake names the key, the value and the remedy."""

from itertools import product

import pytest
import torch
from omegaconf import OmegaConf

from genlab.composition.catalogue import GROUPS, names
from genlab.composition.resolvers import LONGEST, register, slug
from genlab.config.schema import build, check
from genlab.errors import GenlabError, did_you_mean
from genlab.experiment.experiment import Experiment
from genlab.training.devices import Device
from genlab.training.sections import TrainSection
from tests.helpers.support import MODELS, configure, make_dataset, make_model, make_recipe

register()


@pytest.mark.parametrize(("model", "dataset"), list(product(MODELS, sorted(names("dataset")))))
def test_every_model_composes_with_every_data_set(model: str, dataset: str) -> None:
    Experiment(configure(f"model={model}", f"dataset={dataset}"))


def test_defaults_may_differ_on_kinds_of_pictures() -> None:
    def where(model: str, section: str, key: str) -> set[str]:
        found = {name: configure(f"model={model}", f"dataset={name}")[section][key] for name in names("dataset")}
        return {name for name, value in found.items() if value != found["digits"]}

    grey = {"mnist", "fashion_mnist", "kmnist", "emnist"}
    assert where("gan", "model", "network") == where("wgan", "model", "network") == grey
    assert where("diffusion", "preferred", "examples") == grey | {"cifar10", "svhn", "image_folder"}


@pytest.mark.parametrize(("group", "name"), [(group, name) for group in GROUPS for name in names(group)])
def test_every_file_composes_passes_its_own_checks_and_says_what_it_is(group: str, name: str) -> None:
    overrides = [f"{group}={name}"]
    if name == "lbfgs":
        overrides.append("model=ae")
    if group == "device":
        overrides.append("device.name=cpu")  # the machine that tests need not have the others
    Experiment(configure(*overrides))
    assert len(names(group)[name]) > 10, "the first comment of the file is what genlab list shows"


def test_a_model_may_prefer_and_the_command_line_wins() -> None:
    assert configure("model=vae", "dataset=mnist")["dataset"]["binarize"] == "dynamic"
    assert configure("model=ae", "dataset=mnist")["dataset"]["binarize"] == "none"
    assert configure("dataset.binarize=threshold", "model=vae")["dataset"]["binarize"] == "threshold"
    assert configure("dataset=cifar10", "model=vae")["dataset"]["binarize"] == "none"
    assert configure("optimizer=sgd", "model=vae")["optimizer"]["_target_"].endswith("sgd")
    assert configure("model=vae", "optimizer.lr=0.5")["optimizer"]["lr"] == 0.5
    assert configure("experiment=vae_mnist", "train.epochs=2")["train"]["epochs"] == 2


def test_a_rate_that_a_model_prefers_stays_with_its_optimizer() -> None:
    preferred = configure("model=vae")["preferred"]["lr"]
    assert configure("model=vae")["optimizer"]["lr"] == preferred["adam"]
    assert configure("model=vae", "optimizer=momentum")["optimizer"]["lr"] == preferred["momentum"]
    assert configure("model=vae", "optimizer=adagrad")["optimizer"]["lr"] == 0.01


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("model.latent_dim=abc", r"model\.latent_dim=abc: should be an integer"),
        ("model.latent_dim=2.5", r"model\.latent_dim=2\.5: should be an integer"),
        ("model.latent_dim=true", r"model\.latent_dim=true: should be an integer"),
        ("model.latent_dim=0", r"model\.latent_dim=0: should be greater than 0"),
        ("model.mc_samples=null", r"model\.mc_samples=null: should be an integer"),
        ("model.hidden=[3,-1]", r"model\.hidden\[1\]=-1: should be greater than 0"),
        ("model.hidden=3", r"model\.hidden=3: should be a list; did you mean 'model.hidden=\[3\]'\?"),
        ("model.beta=-1", r"model\.beta=-1: should be greater than or equal to 0"),
        ("model.kl_warmup=1.5", r"model\.kl_warmup=1\.5: should be less than 1"),
        ("model.likelihood=bernouli", r"model\.likelihood=bernouli: did you mean 'bernoulli'\?"),
        ("model.network=transformer", r"model\.network=transformer: choose one of: auto, conv, mlp, resnet"),
        ("+model.latentdim=3", r"model\.latentdim is not a key of model; did you mean 'latent_dim'\?"),
        ("optimizer.lr=-0.1", r"optimizer\.lr=-0\.1: should be greater than 0"),
        ("optimizer.betas=[0.9]", r"optimizer\.betas=\[0\.9\]: .*at least 2"),
        ("optimizer.schedule=cosin", r"optimizer\.schedule=cosin: did you mean 'cosine'\?"),
        ("+optimizer.momentm=0.9", r"optimizer\.momentm is not a key of optimizer"),
        ("train.batch_size=0", r"train\.batch_size=0: should be greater than 0"),
        ("device.precision=fp16", r"device\.precision=fp16: did you mean 'tf32'|device\.precision=fp16: .*bf16"),
        ("device.precision=tf32", r"device\.precision=tf32 exists on cuda only"),
        ("device.processes=0", r"device\.processes=0"),
        ("dataset.binarize=static", r"dataset\.binarize=static: choose one of: dynamic, none, threshold"),
        ("dataset.validation=-1", r"dataset\.validation=-1: should be greater than or equal to 0"),
        ("seed=-1", r"seed=-1: should be greater than or equal to 0"),
        ("+sede=1", r"sede is not a key of the configuration; did you mean 'seed'\?"),
        ("~model", r"model=None: name one"),
    ],
)
def test_a_mistake_names_the_key_the_value_and_what_is_allowed(override: str, line: str) -> None:
    with pytest.raises(GenlabError, match=line) as error:
        Experiment(configure("device=cpu", override))
    assert "\n" not in str(error.value)


def test_length_is_set_once() -> None:
    with pytest.raises(GenlabError, match=r"train\.epochs=3 and train\.examples=10: set one of the two"):
        Experiment(configure("train.epochs=3", "train.examples=10"))
    (keys,) = check(configure("train.epochs=3")["train"], "train", TrainSection)
    assert TrainSection(**keys).length(epoch=50, default=700) == 150
    (keys,) = check(configure()["train"], "train", TrainSection)
    assert TrainSection(**keys).length(epoch=50, default=700) == 700
    with pytest.raises(GenlabError, match=r"train\.batch_size=128: the whole training sees 50 examples"):
        TrainSection(**keys).length(epoch=50, default=50)


def test_build_makes_objects_from_checked_keys() -> None:
    keys = {"_target_": "genlab.optimizers.sgd", "lr": 0.1, "weight_decay": 0.0}
    create = build(keys, "optimizer")
    assert isinstance(create([torch.nn.Parameter(torch.zeros(1))]), torch.optim.SGD)
    with pytest.raises(GenlabError, match=r"optimizer\.lrr is not a key"):
        build({**keys, "lrr": 3}, "optimizer")
    with pytest.raises(GenlabError, match=r"optimizer\.weight_decay is missing"):
        build({"_target_": "genlab.optimizers.sgd", "lr": 0.1}, "optimizer")


def test_a_value_that_nobody_set_is_found_before_training() -> None:
    from genlab.config.schema import plain

    with pytest.raises(GenlabError, match=r"model\.depth=\?\?\? has no value"):
        plain(OmegaConf.create({"model": {"depth": "???"}}))


def test_recipes_carry_schedule_warmup_and_clip() -> None:
    recipe = make_recipe(configure("optimizer.schedule=linear", "optimizer.warmup=0.1", "optimizer.clip=3.0"))
    assert (recipe.schedule, recipe.warmup, recipe.clip) == ("linear", 0.1, 3.0)


def test_did_you_mean_offers_the_nearest_or_everything() -> None:
    assert did_you_mean("latnt", ["latent", "hidden"]) == "did you mean 'latent'?"
    assert did_you_mean("zzz", ["b", "a"]) == "choose one of: a, b"


def test_folder_names_are_short_flat_and_fit_for_a_command_line() -> None:
    assert slug(["model=vae", "model.latent_dim=2", "seed=1"], "model") == "_latent_dim-2_seed-1"
    assert slug([]) == ""
    odd = slug(["dataset.path=/a/b,c=d e", "+x.y=[1,2]"])
    assert not set(odd) & set("/=, []")
    long = [f"model.key{i}={i}" for i in range(100)]
    assert len(slug(long)) <= LONGEST + 1
    assert slug(long) != slug([*long[:-1], "model.key99=100"])


def test_a_device_that_is_not_there_is_refused() -> None:
    missing = next(name for name in ("mps", "cuda") if not getattr(torch, name).is_available())
    with pytest.raises(GenlabError, match=rf"device\.name={missing} is not on this machine .*; set device=auto"):
        Device(name=missing, precision="fp32", compile=False, threads=None, processes=1).resolve()  # type: ignore[arg-type]
    assert Device(name="auto", precision="fp32", compile=False, threads=None, processes=1).resolve().type in (
        "cpu",
        "cuda",
        "mps",
    )


def test_bf16_on_a_processor_without_it_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    device = {p: Device(name="cpu", precision=p, compile=False, threads=None, processes=1) for p in ("fp32", "bf16")}
    for avx512, warns in ((True, False), (False, True)):
        known = {"architecture": "x86_64", "avx512_bw": avx512}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda known=known: known, raising=False)
        warning = device["bf16"].warning()
        assert (warning is not None) == warns
        assert warning is None or "set device.precision=fp32" in warning
        assert device["fp32"].warning() is None


@pytest.mark.parametrize(
    ("words", "compiled"),
    [
        (["model=ebm", "dataset=toy2d"], []),
        (["model=ebm", "dataset=digits"], ["ema", "network"]),
        (["model=wgan", "dataset=digits"], ["ema", "generator"]),
        (["model=gan", "dataset=digits"], ["discriminator", "ema", "generator"]),
    ],
)
def test_what_is_differentiated_twice_is_not_compiled_nor_is_its_average(words: list[str], compiled: list[str]) -> None:
    config = configure(*words)
    model = make_model(config, make_dataset(config).spec)
    Device(name="cpu", precision="fp32", compile=True, threads=None, processes=1).place(model)
    assert sorted(name for name, part in model.named_children() if part._compiled_call_impl is not None) == compiled

"""Command lines over the real keys and types of every configuration, most of them with something odd in it.

List number i is a function of i alone. What is asked for is little work (three updates) or nothing that can be done: sizes and
counts are small, or beyond what any machine has.
"""

import random
import typing
from collections.abc import Callable
from functools import cache
from typing import Any

import yaml

from genlab.composition.catalogue import names
from genlab.composition.guesses import flatten
from genlab.config.schema import keys_of
from genlab.config.targets import locate
from genlab.data.splits import prepare
from genlab.inference.partition import Annealing
from genlab.interface import evaluation_run, sampling_run
from genlab.optimizers.recipe import Recipe
from genlab.training.devices import Device
from genlab.training.sections import Preferences, TrainSection
from tests.helpers.processes import REPOSITORY

SHORT = ["train.batch_size=8", "train.examples=24", "dataset.test=20", "dataset.validation=0", "hydra.run.dir=new"]
DATASETS = {
    "digits": 40,
    "toy2d": 20,
    "gaussian": 10,
    "array": 20,
    "image_folder": 2,
    "mnist": 2,
    "fashion_mnist": 1,
    "kmnist": 1,
    "emnist": 1,
    "svhn": 1,
    "cifar10": 1,
}
"""How often each is taken. A lattice (ising) takes longer to simulate than to train on."""
LENGTHS = {"train.examples": "24", "train.epochs": "null", "train.batch_size": "8", "preferred.examples": "24"}
"""Keys that decide how long the command takes: their allowed values are few."""

HYDRA = [
    "hydra.job.name", "hydra.job.chdir", "hydra.output_subdir", "hydra.sweep.subdir", "hydra.mode", "hydra.verbose",
    "hydra.callbacks", "hydra.sweeper.params", "hydra.launcher", "hydra.sweeper", "hydra.job_logging", "hydra/launcher",
    "hydra/job_logging", "hydra.searchpath", "hydra.runtime.choices.model", "hydra.job.config.override_dirname.kv_sep",
]  # fmt: skip

ODD = [
    "", "null", "NULL", "~", "true", "False", "nan", "-inf", "inf", "0", "-1", "1e400", "-0.0", "007", "0x10", "1_000",
    "10000000000", "1" + 30 * "0", "-9223372036854775809", "18446744073709551616", "1e12", "1e308", "1e-320", "0.5", "3",
    "abc", "a b", " ", "\t", "a\nb", "\x1b[31mred", "\x07", "café", "日本語", "🦆", "\u202eabc", "e\u0301", "\ud7ff", 400 * "x",
    5000 * "9", 300 * "ab ", "a/b", "/etc/passwd", "../..", "~/x", "points.npy", "trained", "latest", "a=b", "==", "a#b", "a&b",
    "d'or", '"', "'", "'abc", "'abc'", '"a,b"', "a(b)", "a{b}", "a[b]", "a;b", "a!b", "a~b", "\\", "a\\,b", "a,b", ",", "1,2",
    "[", "]", "[]", "{}", "()", "[[[[1]]]]", "[1,[2,[3]]]", "[null]", "[1,]", "[a,b]", "[0.1,0.9]", "[16]", "[0]", "[-1]",
    "{a:1}", "{a:{b:{c:[1,2]}}}", "{_target_:os.system}", "{_target_:genlab.cli.main,arguments:[list]}", "[{a:b},{c:d}]",
    20 * "[" + 20 * "]", 200 * "[" + 200 * "]", 60 * "{a:" + "1" + 60 * "}", "[" + ",".join(["8"] * 300) + "]",
    "${seed}", "${nothing}", "${model.hidden}", "${train}", "${oc.env:HOME}", "${oc.env:NOTHING}", "${oc.env:NOTHING,3}", "${",
    "${}", "${a", "a${seed}b", "${on:digits,1,2}", "${on:1}", "${run_name:/etc}", "${slug:abc}", "${now:%Y}", "${hydra:job.name}",
    "${oc.decode:'[1,2'}", "${oc.select:seed}", "${oc.create:{a:1}}", "${seed}${seed}", "[${seed},${nothing}]", "${nope:1}",
    "range(0,2)", "range(0,100000000)", "range(0,1,0)", "choice(1,2)", "choice()", "glob(*)", "interval(0,1)", "shuffle(1,2)",
    "sort(2,1)", "tag(a,choice(1))", "int(3)", "float(x)", "str([1,2])", "json_str([1])", "extend_list(1)", "bool(2)", "f(1)",
    "os.system", "genlab.cli.main", "genlab.models.VAE", "torch.nn.Linear", "__class__", "{}.{}", "%s%n", "$(id)", "*", "?",
]  # fmt: skip


@cache
def section_of(group: str, name: str) -> dict[str, Any]:
    """What conf/GROUP/NAME.yaml holds for its own group."""
    content = yaml.safe_load((REPOSITORY / "conf" / group / f"{name}.yaml").read_text())
    section: dict[str, Any] = content.get(group) or content
    return section


@cache
def keys_of_group(command: str, group: str, name: str) -> dict[str, Any]:
    """Every key that there is with a choice in a group -> its annotation, None where it is not known."""
    config = yaml.safe_load((REPOSITORY / "conf" / f"{command}.yaml").read_text())
    config = {key: value for key, value in config.items() if key not in ("defaults", "hydra")}
    config |= {"device": section_of("device", "auto"), group: section_of(group, name)}
    if command != "train":
        config |= section_of("", "sampling")
    targets: dict[str, list[Callable[..., Any]]] = {"device": [Device]}
    if command == "train":
        shared: dict[str, list[Callable[..., Any]]] = {"dataset": [prepare], "optimizer": [Recipe]}
        own = [locate(config[group]["_target_"], group), *shared.get(group, [])]
        targets |= {group: own, "train": [TrainSection], "preferred": [Preferences]}
    else:
        targets |= {"": [sampling_run.keys if command == "sample" else evaluation_run.keys], "ais": [Annealing]}
    hints = {
        f"{section}.{key}".lstrip("."): hint
        for section, found in targets.items()
        for target in found
        for key, (hint, _) in keys_of(target).items()
        if section in ("", *config)
    }
    return dict.fromkeys(sorted(flatten(config))) | hints


def override_list(number: int) -> list[str]:
    """The arguments of `genlab`."""
    chance = random.Random(number)
    command = chance.choices(["train", "sample", "evaluate"], [84, 8, 8])[0]
    model, optimizer = chance.choice(list(names("model"))), chance.choice(list(names("optimizer")))
    dataset = chance.choices(list(DATASETS), list(DATASETS.values()))[0]
    if command == "train":
        hints = keys_of_group(command, "model", model)
        for group, name in (("dataset", dataset), ("optimizer", optimizer)):
            own = {
                key: hint for key, hint in keys_of_group(command, group, name).items() if key.startswith(f"{group}.")
            }
            hints = {key: hint for key, hint in hints.items() if not key.startswith(f"{group}.")} | own
        words = [f"model={model}", f"dataset={dataset}", *SHORT]
        words += [f"optimizer={optimizer}"] if chance.random() < 0.3 else []
        words += ["dataset.path=points.npy"] if dataset == "array" else []
        words += ["dataset.size=8"] if dataset == "image_folder" else []
    else:
        hints = keys_of_group(command, "device", "cpu")
        words = ["run=trained", "hydra.run.dir=new", f"n={chance.choice([20, 21])}"]
        words += ["k=2", "ais.temperatures=3", "ais.chains=3", "ais.sweeps=2"] if command == "evaluate" else []
    well_meant = chance.random() < 0.3
    for _ in range(chance.choice([1, 1, 1, 2, 2, 3, 5])):
        words.append(_allowed_override(chance, hints) if well_meant else _override(chance, hints))
    if chance.random() < 0.08:
        words.insert(0, "-m")
    if chance.random() < 0.03:
        words.insert(
            chance.randrange(len(words)),
            chance.choice(["--fast", "-x", "vae", "=", "=3", "~model", "--cfg", "--info=x"]),
        )
    return [command, *words]


def _allowed_override(chance: random.Random, hints: dict[str, Any]) -> str:
    key = chance.choice([key for key, hint in hints.items() if hint is not None])
    return f"{key}={LENGTHS.get(key) or allowed(chance, hints[key])}"


def _override(chance: random.Random, hints: dict[str, Any]) -> str:
    key = chance.choice(HYDRA) if chance.random() < 0.06 else chance.choice(list(hints))
    odd = chance.random()
    if odd < 0.5 or (key in LENGTHS and odd < 0.9):
        value = LENGTHS.get(key) or allowed(chance, hints.get(key))
    else:
        value = chance.choice(ODD)
        if chance.random() < 0.1:
            value = chance.choice(["[{}]", "{{a:{}}}", "{},{}", "'{}'", "{}{}", "choice({},1)"]).format(value, value)
    change = chance.random()
    if change < 0.04:
        at = chance.randrange(len(key))
        key = key[:at] + chance.choice("xé.$#/@ _") + key[at + chance.choice([0, 1]) :]
    elif change < 0.1:
        key = chance.choice(["+", "++", "~", "+++"]) + key
    elif change < 0.13:
        key += chance.choice([".a", ".a.b.c", ".", "[0]", "@x", "._target_", "._args_"])
    return f"{key}={value}"


def allowed(chance: random.Random, hint: Any) -> str:
    """A value that the annotation allows, small where it is a number."""
    if hint is None:
        return chance.choice(["null", "1", "0.5", "true", "auto", "[4]"])
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return allowed(chance, arguments[0])
    if origin is typing.Literal:
        return str(chance.choice(arguments))
    if origin is list:
        return f"[{','.join(allowed(chance, arguments[0]) for _ in range(chance.choice([1, 1, 2, 3])))}]"
    if origin is dict or hint is dict:
        return "{}"
    if arguments:
        return allowed(chance, chance.choice(arguments))
    if hint is type(None):
        return "null"
    return {
        int: str(chance.choice([0, 1, 2, 3, 4, 8, 20])),
        float: str(chance.choice([0, 0.001, 0.1, 0.5, 0.9, 1, 2])),
        bool: chance.choice(["true", "false"]),
        str: chance.choice(["abc", "points.npy", "trained", "null"]),
    }.get(hint, "null")

"""The study of a search, in Optuna's words: where it is kept, who chooses the next values, who ends a trial early.

Everything of Optuna that genlab touches is here: ask, tell, report, and a storage that outlives the process.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlab.errors import GenlabError, did_you_mean
from genlab.sweeping.objective import Objective
from genlab.sweeping.search_space import keys_that_differ

SAMPLERS = ("tpe", "random", "gp")
PRUNERS = ("median", "hyperband", "none")
FILE, NAME = "study.db", "study"
WAITING = 60.0  # seconds for another process that writes into a SQLite file


def library() -> Any:
    """Optuna. Raises GenlabError where it is not installed."""
    try:
        import optuna
    except ImportError:
        raise GenlabError(
            "hydra/sweeper=optuna: optuna is not installed; install it with: pip install 'genlab[optuna]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def place_of(settings: Mapping[str, Any], folder: Path) -> str:
    """Where the study is kept: a URL, or an absolute path. Raises GenlabError where others could be meant there, too."""
    given, name = settings["storage"], settings["study_name"]
    if given is None:
        return str((folder / FILE).absolute())
    if name is None:
        raise GenlabError(
            f"hydra.sweeper.storage={given} can hold several studies; name this one: hydra.sweeper.study_name=NAME"
        )
    return str(given) if "://" in str(given) else str(Path(str(given)).expanduser().absolute())


def open_storage(place: str) -> Any:
    """The storage at a URL, or in a file of SQLite or, where its name ends in .log, of Optuna's journal."""
    optuna = library()
    try:
        if "://" not in place:
            Path(place).parent.mkdir(parents=True, exist_ok=True)
            if place.endswith((".log", ".journal")):
                return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(place))
            place = f"sqlite:///{place}"
        patience = {"connect_args": {"timeout": WAITING}} if place.startswith("sqlite") else {}
        return optuna.storages.RDBStorage(place, engine_kwargs=patience)
    except GenlabError:
        raise
    except Exception as error:  # whatever a database raises
        shown = re.sub(r"//[^@/]*@", "//", place)  # without a password
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise GenlabError(
            f"hydra.sweeper.storage={shown}: cannot be opened ({reason}); name a file.db, or null"
        ) from None


def open_study(settings: Mapping[str, Any], place: str, objective: Objective) -> Any:
    """The study with its trials so far; a new one where there is none. Raises GenlabError for settings that there are not."""
    optuna, storage = library(), open_storage(place)
    name = settings["study_name"] or NAME
    known = next((s for s in storage.get_all_studies() if s.study_name == name), None)
    done = 0 if known is None else len(storage.get_all_trials(known._study_id, deepcopy=False))
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        direction=objective.direction,
        load_if_exists=True,
        sampler=sampler_of(settings, done),
    )
    if study.direction.name.lower() != objective.direction:
        raise GenlabError(
            f"hydra.sweeper.direction={objective.direction}: the study {name} has the other one; name another study: "
            "hydra.sweeper.study_name=NAME"
        )
    return study


def sampler_of(settings: Mapping[str, Any], done: int = 0) -> Any:
    """Who chooses the next values, after `done` trials: a resumed study draws others than it began with.

    Raises GenlabError for a name that there is not.
    """
    name, samplers, seed = settings["sampler"], library().samplers, int(settings["seed"]) + done
    if name == "tpe":
        return samplers.TPESampler(seed=seed, n_startup_trials=max(5, int(settings["startup"])), constant_liar=True)
    if name == "random":
        return samplers.RandomSampler(seed=seed)
    if name == "gp":
        return samplers.GPSampler(seed=seed)
    raise GenlabError(f"hydra.sweeper.sampler={name}: there is no such sampler; {did_you_mean(str(name), SAMPLERS)}")


def pruner_of(settings: Mapping[str, Any]) -> Any:
    """Who ends a trial early. Raises GenlabError for a name that there is not."""
    optuna, name, startup = library(), settings["pruner"], int(settings["startup"])
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=startup, n_warmup_steps=startup)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=max(1, startup))
    if name in ("none", None):
        return optuna.pruners.NopPruner()
    raise GenlabError(f"hydra.sweeper.pruner={name}: there is no such pruner; {did_you_mean(str(name), PRUNERS)}")


def refuse_another(study: Any, asked: Mapping[str, Any], name: str) -> None:
    """Note in a new study what is searched. Raises GenlabError where an older one searched something else."""
    known = study.user_attrs.get("asked")
    if known is None:
        study.set_user_attr("asked", dict(asked))
        return
    differs = keys_that_differ(known["words"], asked["words"])
    differs += keys_that_differ(
        (line.replace(": ", "=", 1) for line in known["space"]), (line.replace(": ", "=", 1) for line in asked["space"])
    )
    differs += [f"{key}: {known[key]} -> {asked[key]}" for key in ("metric", "at") if known[key] != asked[key]]
    if differs:
        raise GenlabError(
            f"hydra.sweeper.study_name={name}: its trials are of another search ({'; '.join(differs)}); leave that as it was, "
            "or name another study"
        )

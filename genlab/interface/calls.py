"""The functions that `import genlab` offers: train, load, compare, runs. They take the words of the command line."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genlab.composition import own_code
from genlab.composition.compose import compose
from genlab.composition.explain import explain
from genlab.errors import GenlabError, did_you_mean, in_one_line
from genlab.interface.given_arrays import Kept, keep
from genlab.interface.run import Run
from genlab.interface.run_table import RunTable, table_of
from genlab.interface.surroundings import undisturbed
from genlab.tracking.own_folder import discard_if_empty, own_folder
from genlab.tracking.which_run import find_run

if TYPE_CHECKING:
    from genlab.interface.compared import Compared


def train(
    *words: str,
    data: object = None,
    labels: object = None,
    folder: str | Path | None = None,
    config_dir: str | Path | None = None,
    allow: str | Sequence[str] = (),
    show: bool = True,
    **keys: "str | float | bool | Run | None",
) -> Run:
    """Train a model: `genlab.train("model=vae", "dataset=digits", "train.epochs=5", seed=1)`.

    `words` are overrides as on the command line; `keys` are those without a dot (`seed=1` for `"seed=1"`). `data`, an array
    (n, ...) of numpy or torch, stands in place of a data set, with `labels` (n,); or a mapping with x_train, y_train, x_test and
    y_test. `folder` is the run folder (default: a new one below outputs/train of the working folder), `config_dir` and `allow`
    are for a model of your own, and `show=False` prints nothing.

    Raises GenlabError with the line that the command line prints, before any work is lost; InterruptedRun, a KeyboardInterrupt,
    once all is saved after Ctrl-C or the Interrupt button.
    """
    overrides = [*(_override(word) for word in words), *(f"{key}={_word(key, value)}" for key, value in keys.items())]
    own = [f"allow={target}" for target in ([allow] if isinstance(allow, str) else allow)]
    if config_dir is not None:
        own += ["--config-dir", str(Path(config_dir).expanduser())]
    with undisturbed(show), own_code.allowed(own):
        kept = None
        if data is not None or labels is not None:
            refuse_second_data(data, overrides)
            kept, overrides = keep(data, labels), [*overrides, "dataset=array"]
        if folder is not None:
            overrides.append(f"hydra.run.dir={Path(folder).expanduser()}")
        composed = compose("train", overrides, None if config_dir is None else Path(config_dir))
        if kept is not None:
            composed.config["dataset"]["path"] = str(kept.file.absolute())
        target = composed.folder
        try:
            if folder is None:
                target = own_folder(target)
            from genlab.interface.training_run import train_run

            train_run(composed.config, target, composed.hydra_files, ["genlab.train", *overrides], False)
        except Exception as error:
            line = explain(error, "train", overrides)
            began = (target / "run.json").exists()
            if not began:
                _discard(target, kept)
            if line is None or (isinstance(error, GenlabError) and began):
                raise
            raise GenlabError(line if kept is None else kept.in_words(line)) from None
        allowed = [target for word in own if word.startswith("allow=") for target in word[len("allow=") :].split(",")]
    device = next((word.partition("=")[2] for word in reversed(overrides) if word.startswith("device=")), "auto")
    return Run(target, device=device, allow=[*allowed, *_own_targets(composed.config)], show=show)


def load(
    run: str | Path = "latest", *, device: str = "auto", allow: str | Sequence[str] = (), show: bool = True
) -> Run:
    """A run that there is: its folder, its name, or "latest", the newest that has finished.

    `allow` names the class of a model of your own. Raises GenlabError where there is no such run.
    """
    with undisturbed(show):
        found = find_run(str(Path(run).expanduser()))
    return Run(found.path, device=device, allow=[allow] if isinstance(allow, str) else allow, show=show)


def compare(*runs: "Run | str | Path", metrics: Sequence[str] = (), names: Sequence[str] = ()) -> "Compared":
    """One table over several runs, as `genlab compare`: runs, folders, names, globs, folders of sweeps.

    `metrics` restricts the measures and gives their order; `names` are one a run, for tables and figures. Raises GenlabError.
    """
    from genlab.interface.compared import Compared

    words = [str(run.path) if isinstance(run, Run) else str(Path(run).expanduser()) for run in runs]
    if not words:
        raise GenlabError("compare takes one run or more: runs, folders, 'latest', globs, or folders that hold runs")
    if names and len(names) != len(words):
        raise GenlabError(f"names={list(names)}: are {len(names)} for {len(words)} runs; give one a run, or none")
    return Compared.of([f"{name}={word}" for name, word in zip(names, words, strict=True)] if names else words, metrics)


def runs(
    *filters: str, folders: Sequence[str | Path] = (), sort: str | None = None, limit: int | None = None
) -> RunTable:
    """The runs that there are, as `genlab runs` lists them: `genlab.runs("model=vae", "since=2d", sort="fid")`.

    `filters` and `sort` are those of the command line; `folders` are run folders, sweeps, or folders that hold runs, all below
    outputs/train by default. Raises GenlabError.
    """
    return table_of(filters, [str(folder) for folder in folders], sort, limit)


def restore(run: str) -> Run:
    """Bring a run back from the trash, to the place where it was. Raises GenlabError where there is none, or no room."""
    from genlab.tracking import trash

    return Run(trash.restore(trash.find_removed(run)))


def _override(word: object) -> str:
    if not isinstance(word, str):
        raise GenlabError(
            f"{in_one_line(repr(word))}: is no override; write text such as 'train.epochs=5', or a keyword: seed=1"
        )
    return word


def _word(key: str, value: object) -> str:
    """A value as the command line has it. Raises GenlabError for one that no word can be."""
    if (
        key not in ("data", "labels", "tag")
        and did_you_mean(key, ("data", "labels")).startswith("did")
        and not isinstance(value, str | int | float | bool | None | Run)
    ):
        raise GenlabError(f"{key}: is no argument of train; {did_you_mean(key, ('data', 'labels'))}")
    if isinstance(value, list | tuple):
        return f"[{','.join(_word(key, one) for one in value)}]"
    if not isinstance(value, str | int | float | bool | None | Run):
        raise GenlabError(f"{key}: is {type(value).__name__}; a key takes a number, text, or a list of these")
    if isinstance(value, Run):
        return str(value.path)
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def refuse_second_data(data: object, overrides: Sequence[str]) -> None:
    """Raises GenlabError for labels alone, and for data beside another data set."""
    if data is None:
        raise GenlabError("labels: come with data; give data=..., or leave labels out")
    if named := [word for word in overrides if word.startswith(("dataset=", "dataset.path="))]:
        raise GenlabError(f"{named[0]}: data is given as an array; leave one of the two out")


def _own_targets(config: Mapping[str, Any]) -> list[str]:
    """Import paths of what the configuration builds of the user's own."""
    from genlab.config.targets import words_that_allow

    return [target for word in words_that_allow(config) for target in word.removeprefix("allow=").split(",")]


def _discard(folder: Path, kept: Kept | None) -> None:
    """Remove what a run that never began has left: its empty folder, and the file of its data."""
    discard_if_empty(folder)
    if kept is not None and kept.new:
        kept.file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # other data lie there
            kept.file.parent.rmdir()

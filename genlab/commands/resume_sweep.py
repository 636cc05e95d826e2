"""genlab resume SWEEP: the sweep's own command once more, in its folder, from the overrides that it has kept.

What a folder says is not what the user has typed: of Hydra's own keys, which can start programs, only harmless ones are taken
from there, and no word that names code.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from genlab.errors import GenlabError
from genlab.tracking.next_steps import to_type
from genlab.tracking.sweep_folder import SweepFolder
from genlab.tracking.untrusted import read_yaml

SWEEPS = Path("outputs/train/sweep")
PLUGINS = re.compile(r"hydra/(launcher|sweeper)=\w+")
PLAIN = re.compile(
    r"\+*hydra\.(launcher|sweeper)\.(n_jobs|n_trials|direction|study_name|max_batch_size|timeout_min|cpus_per_task|gpus_per_node|"
    r"tasks_per_node|mem_gb|nodes|partition|qos|account|array_parallelism|constraint|at|sampler|pruner|startup|seed|"
    r"default_first)=[\w.:-]+|\+*hydra\.sweeper\.metric=[\w./-]+"
)
SET_AGAIN = ("hydra.sweep.dir", "hydra.mode")
"""Keys of a sweep that follow from its folder."""
MAY_CHANGE = ("dataset.root", "dataset.path", "dataset.labels")


def find_sweep(word: str) -> Path | None:
    """The folder of the sweep of trainings that `word` names, by its path or its name; None where there is none."""
    for folder in (Path(word), SWEEPS / word):
        try:
            is_one = (folder / "multirun.yaml").exists() or (folder / "sweep.json").exists()
        except OSError:  # no name of a file
            return None
        if is_one and not (folder / "run.json").exists():
            return folder
    return None


def resume_sweep(folder: Path, arguments: Sequence[str]) -> int:
    """Go on with the sweep in `folder`; `arguments` are the words beside it, flags too. Returns the exit code."""
    from genlab.commands import train
    from genlab.composition.arguments import arrange
    from genlab.sweeping.offered_plugins import prepare_hydra

    given = [word for word in arguments if "=" in word and not word.startswith("-")]
    for word in given:
        key = word.lstrip("+").partition("=")[0]
        if not key.startswith(("hydra.", "hydra/")) and key not in MAY_CHANGE:
            raise GenlabError(
                f"{word}: a sweep goes on with its own jobs; leave it out, or start another: {to_type('train', '-m')} ... {word}"
            )
    words = _merged(kept_words(folder, given), list(arguments))
    prepare_hydra()
    sys.argv = ["genlab train", *arrange([*words, f"hydra.sweep.dir={folder}", "-m"], "train")]
    train.main()
    return 0


def kept_words(folder: Path, given: Sequence[str]) -> list[str]:
    """The overrides of a sweep, as its folder has kept them. Raises GenlabError for those that only the user may set."""
    command, task, hydra = _read(folder)
    if command not in (None, "train"):
        raise GenlabError(f"{folder} is a sweep of {command}, which has nothing to resume; type its command once more")
    typed = {_key(word) for word in given}
    hydra = [word for word in hydra if _key(word) not in (*SET_AGAIN, *typed)]
    unsafe = [word for word in hydra if not (PLUGINS.fullmatch(word) or PLAIN.fullmatch(word))]
    unsafe += [
        word for word in task if "_target_" in word or "@" in _key(word) or word.startswith(("-", "hydra", "+hydra"))
    ]
    if unsafe:
        raise GenlabError(
            f"{folder} was started with {unsafe[0]}, which is not taken from a folder; type the command of the sweep once more, "
            f"with hydra.sweep.dir={folder}"
        )
    return [*task, *hydra]


def _read(folder: Path) -> tuple[str | None, list[str], list[str]]:
    """Command, overrides and Hydra's overrides of a sweep; the overrides with what its experiment sweeps over."""
    content = SweepFolder(folder).read()
    try:
        kept = read_yaml(folder / "multirun.yaml")
    except FileNotFoundError:  # killed before it was written
        kept = {}
    hydra = kept.get("hydra") if isinstance(kept, dict) else None
    hydra = hydra if isinstance(hydra, dict) else {}
    overrides = hydra.get("overrides") or {}
    task, own = [[str(word) for word in overrides.get(name) or []] for name in ("task", "hydra")]
    params = (hydra.get("sweeper") or {}).get("params") or {}
    command = content.get("command") or (hydra.get("job") or {}).get("name")
    words = content.get("words")
    if isinstance(words, list):
        task = [str(word) for word in words]
    else:
        task = [*(f"{key}={value}" for key, value in params.items() if key not in {_key(word) for word in task}), *task]
    return (None if command is None else str(command)), task, own


def _merged(kept: Sequence[str], given: Sequence[str]) -> list[str]:
    """The words of the user win."""
    typed = {_key(word) for word in given if "=" in word}
    return [*(word for word in kept if _key(word) not in typed), *given]


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]

"""genlab resume RUN|SWEEP: go on exactly where a run stopped, with the configuration that it has; or train a finished run on."""

import re
import sys

from genlab.commands.resume_sweep import find_sweep, resume_sweep
from genlab.composition.words import exists
from genlab.errors import GenlabError, InterruptedRun
from genlab.tracking.next_steps import to_type

USAGE = """\
usage: genlab resume RUN [key=value ...]
       RUN is a run folder, a name, or 'latest', the newest that has not finished; or the folder of a sweep

  genlab resume latest                      goes on exactly where it stopped
  genlab resume RUN train.epochs=40         trains a run on, finished or not, to a greater length
  genlab resume RUN train.patience=null     the keys that may change: the length (train.epochs, train.examples), the cadences
                                            (train.log_every, eval_every, sample_every, checkpoint_every), train.patience
  genlab resume RUN device.processes=2      in another number of processes that share each batch
  genlab resume RUN dataset.root=~/data     where its data lie now (dataset.path, dataset.root, dataset.labels)
  genlab resume SWEEP                       a sweep: resumes what was interrupted, runs what failed and what is left
  genlab resume RUN --config-dir conf       a run of a model of your own, with its files beside conf/ (or allow=mine.Mine)

Another rate, data set or seed makes a new run; it starts from the parameters of this one by: genlab train init=RUN key=value"""
FOLDERS = ("--config-dir", "-cd")


def main(arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)
        return 0
    typed = [word for word in arguments if word != "--"]
    arguments = _without_folders(typed)
    overrides = [word for word in arguments if is_override(word)]
    runs = [word.removeprefix("run=") for word in arguments if word not in overrides] or overrides[:1]
    if len(runs) != 1:
        raise GenlabError(
            f"resume takes one run folder, or 'latest' (given: {', '.join(runs) or 'none'}); write {to_type('resume', 'RUN')}"
        )
    if (sweep := find_sweep(runs[0])) is not None:
        return resume_sweep(sweep, [word for word in typed if word.removeprefix("run=") != runs[0]])
    from genlab.interface.resuming import resume  # seconds to import

    try:
        resume(runs[0], overrides)
    except InterruptedRun as stop:
        print(f"genlab: {stop}", file=sys.stderr)
        return 128 + stop.signal_number
    return 0


def _without_folders(arguments: list[str]) -> list[str]:
    """`arguments` without --config-dir, whose modules and targets are known already (composition/own_code.py)."""
    rest, found = list(arguments), []
    while rest:
        word = rest.pop(0)
        name, equals, _ = word.partition("=")
        if name not in FOLDERS:
            found.append(word)
        elif not equals and rest:
            rest.pop(0)
    return found


def is_override(word: str) -> bool:
    """Whether a word is key=value, and no run: a path may hold a '=' too."""
    key, equals, _ = word.partition("=")
    return bool(equals) and key != "run" and re.fullmatch(r"\+*[\w.]+", key) is not None and not exists(word)

"""`genlab COMMAND ...`: finds the command and hands over. Imports nothing heavy before it must.

Every user's mistake ends here in one line on standard error and exit code 2.
"""

import importlib
import io
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches

from genlab.errors import GenlabError, complain
from genlab.numerics.freed_memory import keep_freed_memory
from genlab.numerics.waiting import wait_as_fits

COMMANDS = {
    "train": "compose a configuration, train, log, checkpoint, show what was made",
    "resume": "go on with a run exactly where it stopped, or train a finished one on",
    "sample": "draw samples, interpolations and traversals from a trained run",
    "evaluate": "measure a trained run on held-out data, with error bars and diagnoses",
    "compare": "one table and one page over several runs",
    "runs": "what there is: states and results; names, tags, notes; into the trash and back",
    "benchmark": "speed of training and sampling, and this machine's share of it",
    "list": "what there is: models, datasets, optimizers, devices, experiments, searches, launchers",
    "dashboard": "open TensorBoard on the runs",
    "new": "write the files of a model of your own, to start from",
    "export": "write a trained run for others: safetensors, a program, a card; none of it needs genlab",
}
HYDRA_COMMANDS = {"train", "sample", "evaluate", "benchmark"}

HELP = """\
genlab: a command-line laboratory for generative models

usage: genlab COMMAND [key=value ...]

{commands}

  genlab train                                 a VAE on the 8x8 digits, which need no download
  genlab train model=vae dataset=mnist         any model on any data set it can model
  genlab train -m model=ae,vae seed=0,1,2      every combination, with a table at the end
  genlab train -m ... --anew                   a new sweep; without it, the same words go on with the last one
  genlab train model=vae --estimate            time, memory and disk before it starts
  genlab resume latest                         RUN is a run folder, a name, or 'latest'
  genlab resume RUN train.epochs=40            trains it on
  genlab sample run=latest n=64
  genlab evaluate run=latest
  genlab compare RUN RUN ...                   run folders, globs, sweep folders
  genlab runs state=finished --sort fid        what there is; genlab runs --help: names, tags, notes, the trash
  genlab benchmark model=vae dataset=mnist
  genlab dashboard
  genlab new model mine                        a model of your own
  genlab export RUN

  genlab COMMAND --help              what a command takes
  genlab train model=rbm --help      the keys of one model: meaning, default, allowed values
  genlab --version
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    wait_as_fits()
    keep_freed_memory()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without the sign for plus-minus shows a question mark
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP.format(commands="\n".join(f"  {name:<11} {text}" for name, text in COMMANDS.items())), end="")
        return 0
    command, *rest = arguments
    if command in ("-V", "--version", "version"):
        from genlab import __version__

        print(f"genlab {__version__}")
        return 0
    if command in ("-sc", "--shell-completion"):
        from genlab.commands import completion
        from genlab.composition.resolvers import register

        register()
        completion.main(arguments, list(COMMANDS), HYDRA_COMMANDS)
        return 0
    if command not in COMMANDS:
        close = get_close_matches(command, COMMANDS, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"choose one of: {', '.join(COMMANDS)}"
        complain(f"there is no command '{command}'; {hint}")
        return 2
    if "--version" in rest:
        return main(["--version"])
    if command in HYDRA_COMMANDS and {"-h", "--help"} & set(rest):
        return _run_help(command, rest)
    return _run(command, rest)


def _run_help(command: str, rest: list[str]) -> int:
    from genlab.commands.help import show
    from genlab.composition import own_code

    if any("=" in word for word in rest):  # the keys of a choice are composed by Hydra
        from genlab.composition.resolvers import register

        register()
    try:
        with own_code.allowed(rest) as words:
            show(command, words)
    except GenlabError as error:
        complain(str(error))
        return 2
    return 0


def _run(command: str, rest: list[str]) -> int:
    from genlab.composition import own_code
    from genlab.composition.words import expand_home

    rest = [expand_home(word) for word in rest]
    if command not in own_code.COMMANDS:
        return _call(command, rest)
    with own_code.allowed(rest) as words:
        return _call(command, words)


def _call(command: str, rest: list[str]) -> int:
    """The command. Of processes that torchrun or srun started the first runs it, and the others take part in its trainings."""
    if not {"WORLD_SIZE", "SLURM_STEP_NUM_TASKS"} & set(os.environ):
        return _call_alone(command, rest)
    from genlab.numerics import ranks

    if ranks.of_environment()[1] == 1 or ranks.joined():
        return _call_alone(command, rest)
    if command not in ("train", "resume"):
        return 0 if ranks.follows() else _call_alone(command, rest)
    from genlab.interface.taking_part import lead_or_follow

    try:
        return lead_or_follow(lambda: _call_alone(command, rest))
    except GenlabError as error:
        complain(str(error))
        return 2


def _call_alone(command: str, rest: list[str]) -> int:
    module = importlib.import_module(f"genlab.commands.{command}")
    before = sys.argv
    try:
        if command not in HYDRA_COMMANDS:
            return int(module.main(rest) or 0)
        from genlab.composition.arguments import arrange
        from genlab.sweeping.offered_plugins import prepare_hydra

        prepare_hydra()
        if command == "train" and any(word.partition("=")[0] == "--estimate" for word in rest):
            return int(importlib.import_module("genlab.commands.cost_estimate").main(rest))
        if command == "train":
            rest = importlib.import_module("genlab.commands.sweep").take_anew(rest)
        sys.argv = [f"genlab {command}", *arrange(rest, command)]
        module.main()
        return 0
    except KeyboardInterrupt:
        print("genlab: stopped before anything could be saved", file=sys.stderr)
        return 130
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        from genlab.composition.explain import explain
        from genlab.composition.own_faults import show_own_frames

        if command in HYDRA_COMMANDS:
            from genlab.commands.sweep import discard_unbegun

            discard_unbegun()
        line = explain(error, command)
        if line is None:
            raise
        show_own_frames(error)
        complain(line)
        return 2
    finally:
        if command in HYDRA_COMMANDS:
            importlib.import_module("genlab.commands.sweep").leave()
        sys.argv = before


if __name__ == "__main__":
    sys.exit(main())

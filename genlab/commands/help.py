"""genlab COMMAND --help: what a command takes, from the files in conf/."""

import re
from collections.abc import Sequence
from importlib import resources

from genlab.composition.catalogue import GROUPS, OF_SWEEPS, groups_of, names

USAGE = {
    "train": """\
genlab train [key=value ...]: compose a configuration, train, log, checkpoint, show what was made

  genlab train model=vae dataset=mnist train.epochs=10 optimizer.lr=0.001
  genlab train -m model=ae,vae seed=0,1,2     every combination (Hydra multirun), one folder a job
  genlab train 'model.hidden=[256,64]'        a list stands in quotes: a shell has brackets of its own
  genlab train search=vae dataset=digits      20 trials by Optuna for the best rate, widths, ... of a family
  genlab train model=vae --cfg job            show the configuration and stop
  genlab train model=vae --estimate           time, memory and disk of this training (or sweep), before it starts
  genlab train name=wide tag=report 'note=twice the width'   what genlab runs finds it by
""",
    "sample": """\
genlab sample run=RUN [key=value ...]: draw from a trained run; RUN is a run folder, a name, or 'latest'

  genlab sample run=latest n=100 seed=1
  genlab sample run=latest 'labels=[3,8]'            classes of a conditional model
  genlab sample run=latest dataset.path=~/data.npy   where the data of the run lie now
""",
    "evaluate": """\
genlab evaluate run=RUN [key=value ...]: measure a trained run on the test split; RUN is a run folder, a name, or 'latest'

  genlab evaluate run=latest
  genlab evaluate run=latest k=5000                  the importance-weighted bound with 5,000 samples
  genlab evaluate run=latest samples=mine.npz        compare samples from elsewhere with the run's data
  genlab evaluate run=latest 'fid_steps=[5,10,50]'   FID by each sampler with each number of steps
  genlab evaluate run=latest dataset.root=~/data     where the data of the run lie now
  genlab evaluate run=latest allow=mine.Mine         a run of a model of your own
""",
    "benchmark": """\
genlab benchmark [key=value ...]: images/s of training and sampling, and the share of this machine's own peak that is reached

  genlab benchmark model=vae dataset=mnist
  genlab benchmark -m model=ae,vae dataset=digits
""",
}


def show(command: str, words: Sequence[str]) -> None:
    """Print what a command takes; with choices of groups among `words` (model=rbm), the keys of these instead."""
    chosen = [
        (group, name) for word in words for group, _, name in [word.partition("=")] if group in groups_of(command)
    ]
    if chosen:
        from genlab.commands.key_help import describe

        print("\n\n".join(describe(command, group, name, words) for group, name in chosen))
        return
    print(USAGE[command])
    if command in ("train", "benchmark"):
        for group in GROUPS:
            print(f"{group}={'|'.join(names(group))}")
        for group, key in OF_SWEEPS.items() if command == "train" else ():
            print(f"{key}={'|'.join(names(group))}")
        print()
        print(f"  genlab {command} model=rbm --help    the keys of one of these: meaning, default, allowed values\n")
    print(f"The keys of conf/{command}.yaml:\n")
    text = _keys(command).partition("\n")[2]
    for shared in re.findall(r"^  - ([a-z]+)$", text, re.MULTILINE):  # of the defaults list
        if shared not in USAGE:
            text += f"\n{_keys(shared)}"
    for line in text.splitlines():
        if "override hydra" not in line:
            print(f"  {line}".rstrip())
    print("\nFlags are Hydra's: -m, --cfg job, --config-dir DIR, --info, --hydra-help, --shell-completion.")


def _keys(name: str) -> str:
    """The text of conf/NAME.yaml without what it sets for Hydra."""
    return (resources.files("genlab.conf") / f"{name}.yaml").read_text().split("\nhydra:")[0].rstrip("\n") + "\n"

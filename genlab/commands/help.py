"""genlab train --help and its like: what a command takes, from the files in conf/."""

from importlib import resources

from genlab.commands.list import GROUPS, names

USAGE = {
    "train": """\
genlab train [key=value ...]: compose a configuration, train, log, checkpoint, show what was made

  genlab train model=vae dataset=mnist train.epochs=10 optimizer.lr=0.001
  genlab train -m model=ae,vae seed=0,1,2     every combination (Hydra multirun), one folder a job
  genlab train model=vae --cfg job            show the configuration and stop
""",
    "sample": """\
genlab sample run=RUN [key=value ...]: draw from a trained run; RUN is a run folder, or 'latest'

  genlab sample run=latest n=100 seed=1
""",
}


def show(command: str) -> None:
    print(USAGE[command])
    if command == "train":
        for group in GROUPS:
            print(f"{group}={'|'.join(names(group))}")
        print()
    print(f"The keys of conf/{command}.yaml; those of a group are in conf/GROUP/NAME.yaml and shown by --cfg job:\n")
    text = (resources.files("genlab.conf") / f"{command}.yaml").read_text().split("\nhydra:")[0]
    for line in text.splitlines()[1:]:
        if "override hydra" not in line:
            print(f"  {line}".rstrip())
    print("\nFlags are Hydra's: -m, --cfg job, --config-dir DIR, --info, --hydra-help, --shell-completion.")

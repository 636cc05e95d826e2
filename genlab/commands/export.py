"""genlab export RUN: a trained run for others, as files that need PyTorch and no genlab."""

from typing import Any, Literal

from genlab.composition.words import exists
from genlab.errors import GenlabError, did_you_mean
from genlab.tracking.next_steps import to_type

USAGE = """\
usage: genlab export RUN [folder=FOLDER] [checkpoint=auto|last|best] [overwrite=true]
       RUN is a run folder, a name, or 'latest'

Writes into FOLDER (outputs/export/MODEL-DATASET/RUN, unless you name another one):

  model.safetensors   all parameters
  model.pt2           its decoder, generator, or one step of its sampling, as a program for torch.export.load
  config.json         settings, form of the data, inputs and outputs of the program
  CARD.md             model, data, training, measures with their errors, a picture, and code that draws samples

  genlab export latest
  genlab export RUN folder=for_you overwrite=true
"""
KEYS = ("folder", "checkpoint", "overwrite")


def keys(
    *, folder: str | None = None, checkpoint: Literal["auto", "last", "best"] = "auto", overwrite: bool = False
) -> None:
    """The schema of the command."""


def main(arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(USAGE, end="")
        return 0
    runs, given = _parse(arguments)
    if len(runs) != 1:
        raise GenlabError(
            f"export takes one run, as in {to_type('export', 'latest')} (given: {', '.join(runs) or 'none'})"
        )
    from genlab.config.schema import check

    (checked,) = check(given, "", keys)
    from genlab.interface.exporting import export_run

    export_run(runs[0], **checked)
    return 0


def _parse(arguments: list[str]) -> tuple[list[str], dict[str, Any]]:
    """The runs, and the keys with their values. Raises GenlabError for another key."""
    runs: list[str] = []
    given: dict[str, Any] = {}
    for word in arguments:
        key, equals, value = word.partition("=")
        name = key.lstrip("-")
        if equals and name in KEYS:
            given[name] = {"true": True, "false": False}.get(value.lower(), value) if name == "overwrite" else value
        elif equals and name == "run":
            runs.append(value)
        elif (equals or word.startswith("-")) and not exists(word):
            raise GenlabError(f"{word}: {name} is not a key of export; {did_you_mean(name, KEYS)}")
        else:
            runs.append(word)
    return runs, given

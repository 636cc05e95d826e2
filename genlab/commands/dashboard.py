"""genlab dashboard [FOLDER|RUN]: TensorBoard with the flags that suit these runs."""

import contextlib
import os
import sys
from pathlib import Path

from genlab.composition.words import exists
from genlab.errors import GenlabError

USAGE = "usage: genlab dashboard [FOLDER|RUN] [TensorBoard's own flags, such as --port 6007 or --bind_all]"


def main(arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)
        return 0
    folder, flags = Path("outputs/train"), arguments
    if arguments and (exists(arguments[0]) or not arguments[0].startswith("-")):
        folder, flags = Path(arguments[0]), arguments[1:]
    if flags is not arguments and not folder.is_dir():
        from genlab.tracking.which_run import find_run

        folder = find_run(arguments[0], wanted="any").path
    if not folder.is_dir():
        raise GenlabError(
            f"dashboard {folder}: there is no such folder; train something first, or name the folder of a run"
        )
    _arrange_columns(folder)
    # -P: a folder `tensorboard` in the working folder, such as a run has, is not the program.
    command = [sys.executable, "-P", "-m", "tensorboard.main", _where(folder)]
    # By default TensorBoard keeps ten images a tag, and a run shows more.
    command += ["--samples_per_plugin", "images=200,scalars=2000", "--reload_interval", "5"]
    sys.stdout.flush()
    os.execv(sys.executable, [*command, *flags])


def _arrange_columns(folder: Path) -> None:
    """TensorBoard's table of a sweep has columns of its own; a folder of several has those in which any two runs differ."""
    from genlab.tracking.hparams_columns import lay_aside, write_columns
    from genlab.tracking.sweep_folder import SweepFolder

    sweep = SweepFolder(folder)
    with contextlib.suppress(OSError):  # a folder that can only be read
        if sweep.file.exists():
            write_columns(sweep)
        else:
            lay_aside(folder)


def _where(folder: Path) -> str:
    """TensorBoard's flag for the runs in `folder`, without those in the trash, where it lies there: it would show them, too."""
    if not (folder / ".trash").is_dir():
        return f"--logdir={folder}"
    beside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return f"--logdir_spec={','.join(f'{path.name}:{path}' for path in beside)}"

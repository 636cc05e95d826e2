"""A run in Weights & Biases (https://wandb.ai), by its library.

Without WANDB_MODE it is kept offline, in outputs/wandb; `wandb sync outputs/wandb/offline-run-*` sends it when the user wants
that. Offline, each session and each evaluation is a folder of its own with the same id; `wandb sync` makes one run of them.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlab.errors import GenlabError
from genlab.tracking.flat_config import parameters
from genlab.tracking.run_names import RunNames

FOLDER = Path("outputs")
PROJECT = "genlab"
EXIT_CODES = {"finished": 0, "failed": 1, "interrupted": 255}


class WandbTracker:
    def __init__(self, run: Path, config: Mapping[str, Any], names: RunNames, known: str) -> None:
        """A new run, or the one of the id `known`, where there is one."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        try:
            import wandb
        except ImportError as error:
            raise GenlabError(f"wandb cannot be imported: {error}") from error
        self._wandb: Any = wandb
        mode: Any = os.environ.get("WANDB_MODE") or "offline"
        folder = Path(os.environ.get("WANDB_DIR") or FOLDER)
        folder.mkdir(parents=True, exist_ok=True)
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            mode=mode,
            dir=str(folder),
            id=known or None,
            resume="allow" if known and mode == "online" else None,
            name=names.name or run.name,
            group=run.parent.name if (run.parent / "multirun.yaml").exists() else None,
            config={**parameters(config), "run_folder": str(run)},
            tags=list(names.tags),
            notes=names.note,
            settings=wandb.Settings(silent=True, console="off", init_timeout=30, disable_git=True),
            reinit="finish_previous",
        )
        self.id = str(self._run.id)
        self._run.define_metric("*", step_metric="examples")

    def record(self, values: Mapping[str, float], step: int) -> None:
        self._run.log({"examples": step, **values})

    def picture(self, path: Path, step: int) -> None:
        name = path.stem.removesuffix(f"_{step:010d}")
        self._run.log({"examples": step, f"pictures/{name}": self._wandb.Image(str(path))})

    def end(self, state: str) -> None:
        self._run.summary["state"] = state
        self._run.finish(exit_code=EXIT_CODES.get(state, 1))

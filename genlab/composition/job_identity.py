"""What a job of a sweep is, whatever its folder is called and wherever its data lie: a hash of its configuration."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlab.errors import GenlabError
from genlab.tracking.run_folder import RunFolder

NAMES = ("name", "tag", "note", "tracker")
"""Keys that change nothing of what is trained."""
LENGTH = 16  # hexadecimal digits


def job_identity(config: Mapping[str, Any]) -> str:
    """A hash of the resolved configuration without paths: of a file of data its name counts, and not its folder.

    Another seed is another job. So is a start from `latest`, where that is another run by now.
    """
    dataset = dict(config.get("dataset") or {})
    dataset.pop("root", None)
    for key in ("path", "labels"):
        if isinstance(dataset.get(key), str):
            dataset[key] = Path(dataset[key]).name
    kept = {key: value for key, value in config.items() if key not in NAMES}
    kept["dataset"] = dataset
    model = kept.get("model")
    if kept.get("init") == "latest":
        kept["init"] = _latest()
    if isinstance(model, Mapping) and model.get("start") == "latest":
        kept["model"] = {**model, "start": _latest()}
    text = json.dumps(kept, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def _latest() -> str:
    """Folder and time of the run that `latest` means now; where there is none, the training will say so."""
    from genlab.experiment.starting import newest_start  # seconds to import

    try:
        run = RunFolder(newest_start().path)
    except GenlabError:
        return "latest"
    return f"{run.path.name} {run.info().get('started')}"

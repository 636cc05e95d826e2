"""A run in MLflow (https://mlflow.org), by its client, version 3.

Without MLFLOW_TRACKING_URI it lies in outputs/mlruns: a SQLite database, as MLflow no longer develops its older store of files,
and beside it the pictures. To look at it: mlflow ui --backend-store-uri sqlite:///outputs/mlruns/mlflow.db
"""

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlab.errors import GenlabError
from genlab.tracking.flat_config import parameters
from genlab.tracking.run_names import RunNames

FOLDER = Path("outputs/mlruns")
EXPERIMENT = "genlab"
STATES = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
LONGEST = 5000  # characters of a parameter or a note
MOST_PARAMETERS = 100  # in one call
HOLD = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "15", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
"""Environment variables where the user has not set them: a server that does not answer must not hold a training up."""


class MLflowTracker:
    def __init__(self, run: Path, config: Mapping[str, Any], names: RunNames, known: str) -> None:
        """A new run, or the one of the id `known`, where there is one."""
        for name, value in HOLD.items():
            os.environ.setdefault(name, value)
        for logger in ("mlflow", "alembic"):  # they announce every table of a new database
            logging.getLogger(logger).setLevel(logging.WARNING)
        try:
            from mlflow import MlflowClient
            from mlflow.entities import Metric, Param
        except ImportError as error:
            raise GenlabError(f"mlflow cannot be imported: {error}") from error
        self._metric, self._parameter = Metric, Param
        # Where it is kept is never read from a run folder, which can come from anyone.
        self._client = MlflowClient(tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or _own_store())
        self.id = known
        self._sent = -1  # examples of the last record that is there already
        if self.id:
            self._client.update_run(self.id, status="RUNNING")
            steps = [metric.step for metric in self._client.get_metric_history(self.id, "epoch")]
            self._sent = max(steps, default=-1)
        else:
            self.id = self._create(run, names)
            self._describe(config)
        tags = {"genlab.run": str(run), "genlab.tags": ",".join(names.tags), "mlflow.note.content": names.note or ""}
        tags |= dict.fromkeys(names.tags, "")
        for key, value in tags.items():
            if value or key in names.tags:
                self._client.set_tag(self.id, key, value[:LONGEST])

    def _create(self, run: Path, names: RunNames) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        if found is None:
            place = None if os.environ.get("MLFLOW_TRACKING_URI") else (FOLDER / "artifacts").absolute().as_uri()
            experiment = self._client.create_experiment(name, artifact_location=place)
        else:
            experiment = found.experiment_id
        made = self._client.create_run(experiment, run_name=names.name or run.name)
        return str(made.info.run_id)

    def _describe(self, config: Mapping[str, Any]) -> None:
        flat = [self._parameter(key, str(value)[:LONGEST]) for key, value in parameters(config).items()]
        for first in range(0, len(flat), MOST_PARAMETERS):
            self._client.log_batch(self.id, params=flat[first : first + MOST_PARAMETERS])

    def record(self, values: Mapping[str, float], step: int) -> None:
        """Once each: of a run that goes on from a checkpoint, the records behind it are there already."""
        if "epoch" in values and step <= self._sent:
            return
        now = int(1000 * time.time())
        self._client.log_batch(
            self.id, metrics=[self._metric(name, value, now, step) for name, value in values.items()]
        )

    def picture(self, path: Path, step: int) -> None:
        self._client.log_artifact(self.id, str(path), path.parent.name)

    def end(self, state: str) -> None:
        self._client.set_terminated(self.id, status=STATES.get(state, "FAILED"))


def _own_store() -> str:
    FOLDER.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{(FOLDER / 'mlflow.db').absolute()}"

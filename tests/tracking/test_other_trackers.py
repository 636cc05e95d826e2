"""Trackers of others: what they are told, read back by their own libraries; and that nothing of theirs ends a training."""

import importlib.util
import json
import os
import signal
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from genlab.errors import GenlabError, InterruptedRun
from genlab.tracking import other_trackers
from genlab.tracking.other_trackers import OtherTrackers, kinds_of, state_after
from genlab.tracking.run_folder import RunFolder
from tests.helpers.processes import (
    assert_refused,
    call,
    environment,
    execute,
    info,
    records,
    start,
    succeed,
    trained,
    wait_for,
)
from tests.helpers.processes import end as ended

WITHOUT = "pip install 'genlab[{}]' to run this test"
SMALL = ["train", "train.examples=600", "train.log_every=100", "model.hidden=[8]", "model.latent_dim=2"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_MODE", "WANDB_DIR", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Recorder:
    """A tracker that keeps what it is told, and fails from a certain record on."""

    told: list[tuple[str, Any]]

    def __init__(self, run: Path, config: Mapping[str, Any], names: Any, known: str) -> None:
        self.id = known or "new-1"
        Recorder.told.append(("open", known))

    def record(self, values: Mapping[str, float], step: int) -> None:
        if len([kind for kind, _ in Recorder.told if kind == "record"]) >= 2 and os.environ.get("BREAKS"):
            raise ConnectionError("no route\nto anywhere")
        Recorder.told.append(("record", (step, dict(values))))

    def picture(self, path: Path, step: int) -> None:
        Recorder.told.append(("picture", path.name))

    def end(self, state: str) -> None:
        Recorder.told.append(("end", state))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    Recorder.told = []
    monkeypatch.setitem(other_trackers.OPENERS, "mlflow", Recorder)
    monkeypatch.setattr(other_trackers, "find_spec", lambda name: object())
    return Recorder.told


def test_a_tracker_is_told_every_record_the_pictures_and_the_end(
    here: Path, told: list[tuple[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call([*SMALL, "tracker=mlflow"], capsys).code == 0
    (run,) = trained(here)
    sent = [(step, values) for kind, (step, values) in ((k, v) for k, v in told if k == "record")]
    kept = [(line["examples"], {k: v for k, v in line.items() if k != "examples"}) for line in records(run)]
    assert sent == kept
    assert len(sent) > 4
    assert told[0] == ("open", "")
    assert told[-1] == ("end", "finished")
    pictures = {name for kind, name in told if kind == "picture"}
    assert pictures == {path.name for path in (run / "samples").glob("*_0*.png")}
    assert info(run)["trackers"] == {"mlflow": {"id": "new-1"}}
    told.clear()
    assert call(["evaluate", f"run={run}", "n=40"], capsys).code == 0
    assert told[0] == ("open", "new-1")
    measured = dict(next(value for kind, value in told if kind == "record")[1])
    entries = json.loads((run / "metrics.json").read_text())
    assert measured["fid"] == entries["fid"]["value"]
    assert measured["fid_stderr"] == entries["fid"]["stderr"]
    assert told[-1] == ("end", "finished")


def test_a_tracker_that_fails_ends_no_training(
    here: Path, told: list[tuple[str, Any]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BREAKS", "1")
    outcome = call([*SMALL, "tracker=mlflow"], capsys)
    assert outcome.code == 0
    (run,) = trained(here)
    assert info(run)["state"] == "finished"
    assert len(records(run)) > 4
    (line,) = [line for line in outcome.out.splitlines() if "given up" in line]
    assert (
        line == f"warning: tracker=mlflow is given up (no route); {run.relative_to(here)}/metrics.jsonl has everything"
    )
    assert len([kind for kind, _ in told if kind == "record"]) == 2


def test_one_that_is_not_installed_is_refused_before_anything_is_written(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_trackers, "find_spec", lambda name: None)
    assert_refused(call(["train", "tracker=wandb"], capsys), "tracker=wandb", "pip install 'genlab[wandb]'")
    assert_refused(call(["train", "tracker=mlflo"], capsys), "tracker=mlflo", "did you mean 'mlflow'")
    assert not trained(here)


def test_what_names_trackers() -> None:
    assert kinds_of(None) == []
    assert kinds_of("wandb") == ["wandb"]
    assert kinds_of(["mlflow", "wandb", "mlflow"]) == ["mlflow", "wandb"]
    with pytest.raises(GenlabError, match="tracker=7"):
        kinds_of(7)


def test_the_state_at_the_end() -> None:
    assert state_after(None, InterruptedRun) == "finished"
    assert state_after(InterruptedRun("", 2), InterruptedRun) == "interrupted"
    assert state_after(KeyboardInterrupt(), InterruptedRun) == "interrupted"
    assert state_after(OSError(), InterruptedRun) == "failed"


def test_an_id_that_is_none_is_not_taken_from_a_run_folder(here: Path, told: list[tuple[str, Any]]) -> None:
    run = RunFolder(here / "run")
    run.create({"seed": 0})
    run.note(trackers={"mlflow": {"id": "../../other", "uri": "http://elsewhere"}})
    OtherTrackers(run, {"tracker": "mlflow"}, again=True)
    assert told == [("open", "")]


# By the libraries themselves


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason=WITHOUT.format("mlflow"))
def test_mlflow_has_one_run_with_all_of_it_also_after_it_was_resumed(here: Path) -> None:
    words = [*SMALL, "tracker=mlflow", "name=wide", "tag=[report,a b]", "note=twice the width", "train.examples=60000"]
    words += ["train.log_every=1280", "train.checkpoint_every=5000"]
    process = start(words, here, env=environment())
    wait_for(lambda: any(path.exists() for path in here.glob("outputs/train/*/*/checkpoints/last.pt")), process)
    process.send_signal(signal.SIGINT)
    assert ended(process).code == 130
    (run,) = trained(here / "outputs" / "train")
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{here}/outputs/mlruns/mlflow.db")
    (experiment,) = [e for e in client.search_experiments() if e.name == "genlab"]
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "KILLED"
    succeed(["resume", "wide"], here, env=environment())
    succeed(["evaluate", "run=wide", "n=40"], here, env=environment())
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.status, found.info.run_name) == ("FINISHED", "wide")
    assert found.info.run_id == info(run)["trackers"]["mlflow"]["id"]
    assert found.data.tags["mlflow.note.content"] == "twice the width"
    assert found.data.tags["genlab.tags"] == "report,a b"
    assert found.data.params["model.latent_dim"] == "2"
    assert found.data.params["train.examples"] == "60000"
    kept = [(line["examples"], line["train/loss"]) for line in records(run) if "train/loss" in line]
    assert [(m.step, m.value) for m in client.get_metric_history(found.info.run_id, "train/loss")] == kept
    measured = json.loads((run / "metrics.json").read_text())
    assert found.data.metrics["fid"] == measured["fid"]["value"]
    assert found.data.metrics["fid_stderr"] == measured["fid"]["stderr"]
    pictures = {artifact.path for artifact in client.list_artifacts(found.info.run_id, "samples")}
    assert pictures == {f"samples/{path.name}" for path in (run / "samples").glob("*_0*.png")}


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason=WITHOUT.format("mlflow"))
def test_a_store_that_is_damaged_costs_one_line(here: Path) -> None:
    (here / "outputs" / "mlruns").mkdir(parents=True)
    (here / "outputs" / "mlruns" / "mlflow.db").write_text("no database at all, " * 100)
    outcome = execute([*SMALL, "tracker=mlflow"], here, env=environment())
    assert outcome.code == 0
    assert outcome.out.count("tracker=mlflow is given up") == 1
    assert "Traceback" not in outcome.err


def log_records(path: Path) -> Iterator[bytes]:
    """The records of a file in the format of LevelDB's log, as wandb writes it: blocks of 32 kB, records cut at their ends."""
    data, block = path.read_bytes(), 32768
    assert data[:4] == b":W&B"
    at, whole = 7, b""
    while at + 7 <= len(data):
        if block - at % block < 7:
            at += block - at % block
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or its last part
            yield whole
            whole = b""


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason=WITHOUT.format("wandb"))
def test_wandb_keeps_a_run_offline(here: Path) -> None:
    succeed([*SMALL, "tracker=wandb", "name=wide", "tag=report", "note=a line"], here, env=environment())
    (run,) = trained(here / "outputs" / "train")
    (folder,) = (here / "outputs" / "wandb").glob("offline-run-*")
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.glob("*.wandb")
    found = [Record.FromString(data) for data in log_records(file)]
    (started,) = [record.run for record in found if record.HasField("run")]
    assert (started.run_id, started.display_name, started.notes) == (
        info(run)["trackers"]["wandb"]["id"],
        "wide",
        "a line",
    )
    assert (started.project, list(started.tags)) == ("genlab", ["report"])
    config = {item.key: json.loads(item.value_json) for item in started.config.update}
    assert config["model.latent_dim"] == 2
    rows = [
        {(item.key or item.nested_key[0]): json.loads(item.value_json) for item in record.history.item}
        for record in found
        if record.HasField("history")
    ]
    kept = [(line["examples"], line["train/loss"]) for line in records(run) if "train/loss" in line]
    assert [(row["examples"], row["train/loss"]) for row in rows if "train/loss" in row] == kept
    assert any("pictures/samples" in row for row in rows)
    (done,) = [record.exit.exit_code for record in found if record.HasField("exit")]
    assert done == 0
    succeed(["evaluate", "run=wide", "n=40"], here, env=environment())
    assert len(list((here / "outputs" / "wandb").glob(f"offline-run-*-{started.run_id}"))) == 2

"""genlab compare of runs that did not go well, and of words that name none."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from genlab.report.contexts import context
from genlab.report.find import find_runs
from genlab.report.measures import QUALITY
from genlab.report.read_runs import Failure, Run, read_run
from tests.helpers.compared_runs import Page, compare, make_run, png, value
from tests.helpers.processes import assert_refused, call, execute

HOSTILE = "a|b_c%d$e&f#g{h}~^\\i<script>alert(1)</script>*`"


def test_damaged_and_partial_runs_are_shown_as_far_as_they_go(capsys: pytest.CaptureFixture[str]) -> None:
    make_run("good", measures={"fid": value(30.0, 1.0)})
    cut = make_run("cut", beta=2, state="running")
    text = (cut / "metrics.jsonl").read_text()
    (cut / "metrics.jsonl").write_text(text[:200] + "\x00garbage\n" + text + '{"examples": 999, "eval/lo')
    (cut / "samples" / "samples.png").write_bytes(png()[:40])
    odd = make_run("odd", beta=3, measures={})
    (odd / "metrics.json").write_text('{"fid": {"value": NaN}, "kid": ')
    (odd / "evaluation" / "evaluation.json").write_text("[1, 2]")
    (odd / "run.json").write_text("")
    bare = make_run("bare", beta=4)
    (bare / "metrics.jsonl").unlink()
    (bare / ".hydra" / "overrides.yaml").unlink()
    (bare / "samples" / "samples.png").unlink()
    lost = make_run("lost", beta=5)
    (lost / "config.yaml").write_text("model: [")
    outcome = compare(capsys, "good", "cut", "odd", "bare", "lost")
    assert "lost failed" in outcome.out
    assert "damaged line" in outcome.out
    assert "metrics.json is damaged" in outcome.out
    assert "genlab evaluate run=bare" in outcome.out
    page = Page(Path("out/index.html").read_text())
    assert "999" not in page.text
    assert "cut is running" in page.text


def test_a_sweep_folder_names_its_failed_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    make_run("sweep/0_model-vae")
    Path("sweep/multirun.yaml").write_text("")
    for name, override in (("1_failed", "model=ae"), ("2_sampling", "run=latest")):
        Path("sweep", name).mkdir()
        facts = {"state": "failed", "error": "train.batch_size is\ntoo large", "overrides": [override]}
        Path("sweep", name, "run.json").write_text(json.dumps(facts))
    runs, failures = find_runs(["sweep"])
    assert [str(run.path) for run in runs] == ["sweep/0_model-vae"]
    assert failures == [Failure(Path("sweep/1_failed"), "train.batch_size is too large")]
    outcome = compare(capsys, "sweep")
    assert "train.batch_size is too large" in outcome.out
    assert "train.batch_size is too large" in Page(Path("out/index.html").read_text()).text


def test_words_that_name_runs() -> None:
    for k in (10, 2, 1):
        make_run(f"outputs/train/vae-digits/{k}_x", seed=k)
    Path("outputs/train/vae-digits/multirun.yaml").write_text("")
    folder = "outputs/train/vae-digits"

    def found(*words: str) -> list[str]:
        return [run.path.name for run in find_runs(words)[0]]

    assert found(folder) == ["1_x", "2_x", "10_x"]  # as a sweep counts
    assert found("outputs/*/*/1*") == ["10_x", "1_x"]
    assert found("outputs/**/2_x") == ["2_x"]
    assert found("latest") == ["10_x"]
    assert found(f"{folder}/2_x", f"{folder}/multirun.yaml", f"{folder}/2_x/") == ["2_x"]


def test_a_run_can_be_read_that_knows_nothing() -> None:
    make_run("a")
    (Path("a") / "config.yaml").write_text("model: {}\n")
    run = read_run(Path("a"))
    assert isinstance(run, Run)
    assert run.seed is None
    assert str(context(run, QUALITY))


MISTAKES = {
    "": ("run",),
    "--metrics fid": ("run",),
    "a --outt x": ("--outt", "did you mean '--out'?"),
    "a --out": ("--out needs a value",),
    "a --metrics --out x": ("--metrics needs a value",),
    "a --metrics ,": ("--metrics", "fid"),
    "a --out x --out y": ("--out", "twice"),
    "a --metrics fdi": ("fdi", "did you mean 'fid'?"),
    "a metric=fid": ("metric=fid", "did you mean '--metrics fid'?"),
    "a out=x": ("out=x", "did you mean '--out x'?"),
    "a model=vae": ("model=vae", "flags"),
    "a wide=nowhere": ("wide=nowhere", "NAME=RUN"),
    "latest=a": ("name=latest", "choose another"),
    "nothing/*": ("nothing/*", "matches no folder"),
    "emp*": ("emp*", "no run"),
    "nowhere": ("nowhere", "no such folder"),
    "empty": ("empty", "not a run folder"),
    "file": ("file", "no such folder"),
    "latest": ("latest", "genlab train"),
    "failed": ("failed", "too large"),
    "a --out file": ("--out file", "another folder"),
    "a --out file/below": ("--out file/below", "another folder"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(mistake: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run("a", measures={"fid": value(30.0, 1.0)})
    Path("empty").mkdir()
    Path("file").write_text("")
    Path("failed").mkdir()
    Path("failed/run.json").write_text(json.dumps({"state": "failed", "error": "too\nlarge"}))
    before = sorted(here.rglob("*"))
    assert_refused(call(["compare", *mistake.split()], capsys), *MISTAKES[mistake])
    assert sorted(here.rglob("*")) == before


def test_help_and_what_is_imported(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call(["compare", "--help"], capsys)
    assert outcome.code == 0
    assert "--metrics" in outcome.out
    make_run("a")
    script = "import sys; from genlab.cli import main; main(['compare', 'a', '--out', 'o']); assert 'torch' not in sys.modules"
    (here / "genlab_light.py").write_text(script)
    ended = subprocess.run([sys.executable, "genlab_light.py"], capture_output=True, text=True, cwd=here)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert Path("o/index.html").exists()


def test_the_command_as_a_process_is_refused_in_one_line(here: Path) -> None:
    assert_refused(execute(["compare", "nowhere"], here), "nowhere")

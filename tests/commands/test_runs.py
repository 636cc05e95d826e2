"""genlab runs: lists, filters, order; names, tags and notes; the trash; with run folders as genlab train leaves them."""

import json
import resource
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from genlab.report.run_filters import matching, ordered, parse_time, select
from genlab.report.run_list import list_runs
from genlab.report.runs_table import duration, lines, short_names, size
from genlab.tracking.run_folder import RunFolder
from genlab.tracking.which_run import find_run
from tests.helpers.processes import Outcome, assert_refused, call, environment, files, info, strict_json
from tests.tracking.test_run_states import holder

STARTED = datetime.now().astimezone() - timedelta(hours=1)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def a_run(
    number: int,
    model: str = "vae",
    dataset: str = "digits",
    state: Any = "finished",
    folder: str = "",
    measures: dict[str, Any] | None = None,
    days: float = 0.0,
    **config: Any,
) -> RunFolder:
    """A run that started `number` minutes after the hour, `days` ago, in outputs/train."""
    started = STARTED + timedelta(minutes=number, days=-days)
    run = RunFolder(Path("outputs/train") / (folder or f"{model}-{dataset}/{started:%Y-%m-%d_%H-%M-%S}"))
    sections = {"model": {"_target_": f"genlab.models.{model.upper()}", "latent_dim": number}, "dataset": {}}
    hydra = f"hydra:\n  runtime:\n    choices:\n      model: {model}\n      dataset: {dataset}\n      optimizer: adam\n"
    run.create({"seed": number, **sections, **config}, {"hydra.yaml": hydra})
    with run.training():
        results = {"test/loss": {"value": 100.0 - number, "stderr": 0.5}} if state == "finished" else {}
        cost = {"seconds": 10.0 * number, "examples": 1000 * number, "parameters": 7} if results else {}
        run.note(state=state, started=started.isoformat(), results=results, cost=cost, error=None)
    if measures:
        entries = {k: {"value": v, "stderr": 0.1, "unit": "", "kind": ""} for k, v in measures.items()}
        (run.path / "metrics.json").write_text(json.dumps(entries))
    return run


def three() -> list[RunFolder]:
    return [
        a_run(1, name="wide", tag=["report", "a b"], note="twice the width", measures={"fid": 3.0, "coverage": 0.2}),
        a_run(2, "rbm", "mnist", tag="draft", measures={"fid": 1.0, "coverage": 0.9}),
        a_run(3, "gan", state="failed", days=3),
    ]


def numbers(runs: list[Any]) -> list[int | None]:
    return [run.seed for run in runs]


def runs_json(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    outcome = call(["runs", *words, "--json"], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    found = strict_json(outcome.out)
    assert isinstance(found, list)
    return found


# What there is


def test_a_run_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    run, *_ = three()
    (found,) = runs_json(["name=wide"], capsys)
    assert found["run"] == str(run.path)
    assert (found["model"], found["dataset"], found["optimizer"], found["seed"]) == ("vae", "digits", "adam", 1)
    assert (found["seconds"], found["examples"], found["state"]) == (10.0, 1000, "finished")
    assert found["results"]["fid"] == {"value": 3.0, "stderr": 0.1, "unit": "", "kind": "biased"}
    assert found["results"]["test/loss"]["value"] == 99.0
    assert found["results"]["seconds"]["unit"] == "s"
    assert (found["name"], found["tags"], found["note"]) == ("wide", ["report", "a b"], "twice the width")
    assert {frozenset(run) for run in runs_json([], capsys)} == {frozenset(found)}  # always the same keys
    assert runs_json(["state=running"], capsys) == []


@pytest.mark.parametrize(
    ("filters", "seeds"),
    [
        (["state=finished"], {1, 2}),
        (["state=failed,finished", "model=vae,gan"], {1, 3}),
        (["dataset=mnist"], {2}),
        (["tag=report"], {1}),
        (["tag=a b,draft"], {1, 2}),
        (["tag=-draft"], {1, 3}),
        (["model=-vae", "state=-failed"], {2}),
        (["name=w*"], {1}),
        (["note=WIDTH"], {1}),
        (["since=2d"], {1, 2}),
        (["before=2d"], {3}),
        (["since=2000-01-01"], {1, 2, 3}),
        (["seed=3"], {3}),
        (["model.latent_dim=2"], {2}),
        (["tag=report", "tag=draft"], set()),
    ],
)
def test_filters(filters: list[str], seeds: set[int]) -> None:
    three()
    assert set(numbers(select(list_runs(), filters))) == seeds


@pytest.mark.parametrize(
    ("key", "order"),
    [
        ("fid", [2, 1, 3]),  # the best first, those without it last
        ("-fid", [1, 2, 3]),
        ("coverage", [2, 1, 3]),
        ("+coverage", [1, 2, 3]),
        ("loss", [2, 1, 3]),
        ("test/loss", [2, 1, 3]),
        ("started", [2, 1, 3]),
        ("+started", [3, 1, 2]),
        ("-examples", [2, 1, 3]),
        ("model", [3, 2, 1]),
    ],
)
def test_sorted_by_any_result(key: str, order: list[int]) -> None:
    three()
    assert numbers(ordered(list_runs(), key)) == order
    assert numbers(matching(filters=["state=finished"], sort=key, limit=1)) == [next(k for k in order if k != 3)]


@pytest.mark.parametrize("words", [["--sort", "fid"], ["--sort=-coverage"]])
def test_a_ranking_over_several_data_sets_says_so(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    three()
    assert "of mnist, digits, which do not compare: dataset=mnist shows one" in call(["runs", *words], capsys).out
    for alone in ([*words, "dataset=mnist"], ["--sort", "time"], ["--sort", "parameters"], []):
        assert "do not compare" not in call(["runs", *alone], capsys).out


def test_an_unfinished_run_shows_its_last_record() -> None:
    run = a_run(1, state="interrupted")
    run.record({"examples": 10, "epoch": 0, "seconds": 1.0, "train/loss": 5.0})
    run.record({"examples": 640, "epoch": 1, "seconds": 2.5, "train/loss": 4.0, "eval/loss": 4.5})
    with run.metrics.open("a") as file:
        file.write('{"examples": 700, "train/lo')  # a line that a kill cut short
    (found,) = list_runs()
    assert (found.examples, found.seconds) == (640, 2.5)
    assert (found.value("loss"), found.value("train/loss")) == (4.5, 4.0)


def test_jobs_of_a_sweep_stand_together(capsys: pytest.CaptureFixture[str]) -> None:
    for k, state in enumerate(["finished", "finished", "failed"]):
        a_run(k, folder=f"sweep/2026-11-20_10-00-00/{k}_seed-{k}", state=state)
    Path("outputs/train/sweep/2026-11-20_10-00-00/multirun.yaml").touch()
    early = Path("outputs/train/sweep/2026-11-20_10-00-00/3_lr-0")
    early.mkdir()
    RunFolder(early).note(
        state="failed", error="optimizer.lr=0: should be above 0", overrides=["model=vae", "optimizer.lr=0"]
    )
    other = a_run(9, "gan")
    out = call(["runs"], capsys).out.splitlines()
    assert out[1].split()[:3] == [f"{STARTED + timedelta(minutes=9):%m-%d_%H-%M-%S}", "finished", "gan"]
    assert out[2] == "sweep outputs/train/sweep/2026-11-20_10-00-00: 4 jobs, 2 finished, 2 failed"
    assert [line.split()[0] for line in out[3:7]] == ["0_seed-0", "1_seed-1", "2_seed-2", "3_lr-0"]
    assert "optimizer.lr=0: should be above 0" in out[6]
    assert out[-1] == "5 of 5 runs: 3 finished, 2 failed"
    ids = short_names(list_runs())
    assert all(find_run(ids[str(run.path)], wanted="any").path == run.path for run in list_runs() if run.path != early)
    assert ids[str(other.path)] in out[1]
    assert len(runs_json(["outputs/train/sweep/2026-11-20_10-00-00"], capsys)) == 4


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_table_fits_the_screen(width: int) -> None:
    three()
    a_run(4, name="été 日本", note="a long note, " * 20, tag=["one", "two", "three"])
    runs = list_runs()
    from rich.cells import cell_len

    shown = lines(runs, runs, width)
    assert max(map(cell_len, shown)) <= width
    assert all(word in "\n".join(shown) for word in ("wide", "finished", "gan", "été 日本", "4 of 4 runs"))
    assert ("note" in shown[0]) == (width >= 120)
    assert ("--json has everything" in shown[-1]) == (width < 200)


def test_words_for_amounts() -> None:
    assert [duration(s) for s in (0.4, 12, 75, 7200, 4 * 86400.0, None)] == [
        "0.4 s",
        "12 s",
        "1.2 min",
        "2.0 h",
        "4.0 d",
        "",
    ]
    assert [size(n) for n in (0, 999, 1500, 2_000_000, 3.2e10)] == ["0 bytes", "999 bytes", "1.5 kB", "2.0 MB", "32 GB"]


def test_times() -> None:
    now = datetime.now().astimezone()
    assert abs((now - parse_time("since", "90min")).total_seconds() - 5400) < 5
    assert parse_time("since", "yesterday").date() == (now - timedelta(days=1)).date()
    assert parse_time("since", "2026-11-20").hour == 0
    assert parse_time("since", "2026-11-20T10:30").minute == 30


def test_a_thousand_runs_without_torch(here: Path) -> None:
    text = "import sys, genlab.cli; code = genlab.cli.main(['runs', '--sort', 'fid', 'since=30d']); "
    text += "assert not {'torch', 'numpy', 'hydra', 'matplotlib'} & set(sys.modules); sys.exit(code)"
    first = a_run(1, measures={f"measure_{k}": 0.5 for k in range(40)} | {"fid": 2.0})
    for k in range(999):
        copy = first.path.with_name(f"copy-{k}")
        (copy / ".hydra").mkdir(parents=True)
        for name in ("run.json", "config.yaml", "metrics.json", ".hydra/hydra.yaml"):
            (copy / name).write_bytes((first.path / name).read_bytes())
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, env=environment(), cwd=here)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "1,000 of 1,000 runs: 1,000 finished"
    assert after.ru_utime - before.ru_utime < 3.0  # 0.8 s where nothing else runs


# Names, tags, notes


def test_what_is_set_and_taken_away(capsys: pytest.CaptureFixture[str]) -> None:
    run, other, _ = three()
    call(["runs", "set", "wide", "name=narrow", "tag=new,-a b", "note=a=b, c"], capsys)
    found = info(run.path)
    assert (found["name"], found["tags"], found["note"]) == ("narrow", ["report", "new"], "a=b, c")
    assert found["seed"] == 1  # nothing else is touched
    call(["runs", "set", "narrow", str(other.path), "tag=both"], capsys)
    assert (info(run.path)["tags"], info(other.path)["tags"]) == (["report", "new", "both"], ["draft", "both"])
    call(["runs", "set", "narrow", "name=null", "tag=null", "note=null"], capsys)
    found = info(run.path)
    assert (found["name"], found["tags"], found["note"]) == (None, [], None)


def test_a_run_is_named_at_its_start(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train.examples=200", "model.hidden=[8]", "name=wide", "tag=[a,b]", "note=with, commas & (signs)"]
    assert call(["train", *words], capsys).code == 0
    (found,) = runs_json([], capsys)
    assert (found["name"], found["tags"], found["note"]) == ("wide", ["a", "b"], "with, commas & (signs)")
    assert Path(found["run"]).name.endswith("_wide_examples-200_hidden-8")
    outcome = call(["train", "tag=a=b"], capsys)
    assert_refused(outcome, "tag=a=b")
    assert_refused(call(["train", "tag=a,b"], capsys), "'tag=[a,b]'")
    assert len(runs_json([], capsys)) == 1


WRITER = """
import sys
from pathlib import Path
from genlab.tracking.run_folder import RunFolder
run = RunFolder(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for k in range(300):
    run.note(**{f"key{k}": k})
"""


def test_two_processes_that_write_lose_nothing_of_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    run = a_run(1, name="wide")
    command = [sys.executable, "-c", WRITER, str(run.path.absolute())]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=Path(__file__).parents[2],
    ) as trainer:
        assert trainer.stdin is not None
        assert trainer.stdout is not None
        assert trainer.stdout.readline() == "ready\n"
        trainer.stdin.write("\n")
        trainer.stdin.flush()
        for k in range(15):
            assert call(["runs", "set", "wide", f"tag=t{k}"], capsys).code == 0
    found = info(run.path)
    assert found["tags"] == [f"t{k}" for k in range(15)]
    assert [found[f"key{k}"] for k in range(300)] == list(range(300))


# The trash


def test_removed_and_brought_back_to_the_same_place(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, *_ = three()
    before = files(run.path)
    assert call(["runs", "remove", "wide"], capsys).code == 0
    assert not run.path.exists()
    assert len(runs_json([], capsys)) == 2
    assert len(list_runs(["outputs"])) == 2
    assert_refused(call(["sample", "run=wide"], capsys), "run=wide", "no run of this name", "runs restore wide")
    out = call(["compare", "outputs"], capsys).out
    assert "vae" not in out
    assert "rbm" in out
    (removed,) = strict_json(call(["runs", "trash", "--json"], capsys).out)
    assert (removed["run"], removed["name"], removed["runs"]) == (str(run.path), "wide", 1)
    assert removed["bytes"] == sum(map(len, before.values()))
    assert call(["runs", "restore", "wide"], capsys).code == 0
    assert files(run.path) == before
    assert call(["runs", "trash"], capsys).out == "the trash is empty\n"


def test_a_place_that_is_taken_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    run, *_ = three()
    call(["runs", "remove", "wide"], capsys)
    run.path.mkdir(parents=True)
    assert_refused(call(["runs", "restore", "wide"], capsys), str(run.path), "is there again")
    run.path.rmdir()
    assert call(["runs", "restore", str(run.path)], capsys).code == 0
    assert (run.path / "run.json").exists()


def test_a_sweep_goes_and_comes_back_as_a_whole(capsys: pytest.CaptureFixture[str]) -> None:
    for k in range(2):
        a_run(k, folder=f"sweep/2026-11-20_10-00-00/{k}_seed-{k}")
    sweep = Path("outputs/train/sweep/2026-11-20_10-00-00")
    (sweep / "multirun.yaml").touch()
    before = files(sweep)
    assert call(["runs", "remove", str(sweep), f"{sweep}/1_seed-1"], capsys).code == 0
    assert not sweep.exists()
    assert "2 runs" in call(["runs", "trash"], capsys).out
    assert call(["runs", "restore", sweep.name], capsys).code == 0
    assert files(sweep) == before


def test_those_that_a_filter_names_are_removed(capsys: pytest.CaptureFixture[str]) -> None:
    three()
    assert call(["runs", "remove", "state=failed", "model=gan"], capsys).code == 0
    assert {run["seed"] for run in runs_json([], capsys)} == {1, 2}


def test_no_run_is_made_among_other_files(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The trash would take them along."""
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("years")
    outcome = call(["train", "model=pca", "hydra.run.dir=mine"], capsys)
    assert outcome.code == 2
    assert "hydra.run.dir=mine holds other files already (thesis.txt); name a folder that is empty" in outcome.err
    assert [file.name for file in Path("mine").iterdir()] == ["thesis.txt"]


def test_a_run_that_is_trained_stays(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished = a_run(1, name="done")
    process = holder(here / "outputs/train/vae-digits/live")
    try:
        assert_refused(call(["runs", "remove", "live"], capsys), "is being trained", "stop it first")
        assert_refused(call(["runs", "remove", "done", "live"], capsys), "is being trained")
        assert finished.path.exists()  # all of them or none
        assert call(["runs", "set", "live", "tag=now"], capsys).code == 0
        assert info(here / "outputs/train/vae-digits/live")["state"] == "running"
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    assert call(["runs", "remove", "live"], capsys).code == 0


def test_emptying_says_what_and_needs_a_yes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    three()
    call(["runs", "remove", "wide"], capsys)
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115, PTH123
    assert_refused(call(["runs", "empty-trash"], capsys), "1 run in outputs/.trash", "for good", "--yes")
    assert Path("outputs/.trash").exists()
    assert "deleted 1 run" in call(["runs", "empty-trash", "--yes"], capsys).out
    assert not Path("outputs/.trash").exists()


# Mistakes


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["state=done"], ["state=done", "finished"]),
        (["since=lately"], ["since=lately", "2d"]),
        (["data=digits"], ["did you mean 'dataset=digits'"]),
        (["modle=vae"], ["did you mean 'model'"]),
        (["sort=fid"], ["did you mean '--sort fid'"]),
        (["--sort", "fidd"], ["--sort fidd", "did you mean 'fid'"]),
        (["--sort"], ["--sort needs a value"]),
        (["--limit", "0"], ["--limit 0", "above 0"]),
        (["--jsn"], ["did you mean '--json'"]),
        (["model="], ["model=", "no value"]),
        (["wied"], ["did you mean 'wide'"]),
        (["rm", "wide"], ["runs remove"]),
        (["trash", "wide"], ["takes no words"]),
        (["set", "wide"], ["nothing to set", "tag=report"]),
        (["set", "tag=a"], ["no run is named"]),
        (["set", "wide", "lr=3"], ["lr=3", "name=, tag= and note="]),
        (["set", "wide", "name=a/b"], ["name=a/b", "without '/'"]),
        (["set", "wide", "name=latest"], ["choose another name"]),
        (["set", "wide", "tag=a=b"], ["tag=a=b"]),
        (["set", "wide", "note=" + 600 * "x"], ["500 characters"]),
        (["set", "rbm-mnist", "tag=x"], ["no run of this name"]),
        (["remove"], ["no run is named"]),
        (["remove", "outputs/train"], ["holds 3 runs and is no sweep"]),
        (["remove", "model=ebm"], ["none of the 3 runs has model=ebm"]),
        (["remove", "--yes", "wide"], ["--yes is not a flag of runs remove"]),
        (["restore"], ["the trash is empty"]),
        (["restore", "wide"], ["the trash is empty"]),
    ],
    ids=" ".join,
)
def test_mistakes_end_in_one_line(words: list[str], said: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    three()
    before = files(Path("outputs"))
    outcome = call(["runs", *words], capsys)
    assert_refused(outcome, *said)
    assert files(Path("outputs")) == before


def test_a_name_that_another_run_has(capsys: pytest.CaptureFixture[str]) -> None:
    _, other, _ = three()
    assert_refused(call(["runs", "set", str(other.path), "name=wide"], capsys), "name=wide", "called so already")
    assert_refused(call(["runs", "set", "wide", str(other.path), "name=new"], capsys), "2 runs cannot have one name")
    assert call(["runs", "set", "wide", "name=wide"], capsys).code == 0  # its own


def test_nothing_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    outcome: Outcome = call(["runs"], capsys)
    assert outcome.code == 0
    assert "there is no run under outputs/train; start one with:" in outcome.out
    three()
    assert "did you mean 'vae'?" in call(["runs", "model=vea"], capsys).out
    assert "runs set wide name=new" in call(["runs", "wide", "name=new"], capsys).out

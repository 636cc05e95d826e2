"""README and the pages beside the code: they are short, they lead somewhere, and every command on them works."""

import re
import shlex
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genlab.composition.catalogue import GROUPS, names
from tests.helpers.page_commands import check_line, check_setting
from tests.helpers.pages import DEFINITION, PAGES, REFERENCE, Page, read
from tests.helpers.processes import REPOSITORY, assert_refused, call, strict_json, trained

MOST_LINES, MOST_WORDS = 200, 1_800  # of README
WIDEST_TABLE = 120  # characters of a line of a table, without the addresses of its links
MISTYPED = {"genlab train model.latent_dm=3"}
"""What a page mistypes to show what genlab answers."""

pages = pytest.mark.parametrize("page", [read(path) for path in PAGES], ids=lambda page: page.name)


# Form


def test_readme_is_short() -> None:
    text = (REPOSITORY / "README.md").read_text()
    assert len(text.splitlines()) <= MOST_LINES
    assert len(text.split()) <= MOST_WORDS


@pages
def test_form(page: Page) -> None:
    """No bold type, blocks that name their language, tables that fit a screen."""
    assert "**" not in page.prose
    assert {language for language, _ in page.blocks} <= {"bash", "python", "yaml", "toml", "text", "math"}
    for rows in page.tables():
        assert len({len(row) for row in rows}) == 1, rows[0]
        for row in rows:
            line = " | ".join(re.sub(r"\]\([^)]*\)|\]\[[\w-]+\]", "]", cell) for cell in row)
            assert len(line) <= WIDEST_TABLE, line


@pages
def test_links_lead_somewhere(page: Page) -> None:
    lost = []
    for link in page.links():
        place, _, anchor = link.partition("#")
        if "://" in place:
            continue
        target = (page.path.parent / place).resolve() if place else page.path
        if not target.exists() or (anchor and anchor not in read(target).anchors()):
            lost.append(link)
    assert lost == []
    used, defined = REFERENCE.findall(page.prose), [name for name, _ in DEFINITION.findall(page.prose)]
    assert set(used) == set(defined)
    assert len(defined) == len(set(defined))


def test_the_times_of_the_lecture_are_those_of_its_experiments() -> None:
    """Each row of README's table has the times that genlab list shows; rows have the order of the lecture."""
    readme, places = read(REPOSITORY / "README.md"), []
    (rows,) = [rows for rows in readme.tables() if rows[0][:2] == ["topic", "command"]]
    for _, command, _, *times in rows[1:]:
        name = command.strip("`").removeprefix("genlab train experiment=")
        text = (REPOSITORY / "conf" / "experiment" / f"{name}.yaml").read_text()
        (found,) = re.findall(r"^# lecture: (\d+)\.(\d+) .+?; (.+?); (.+)$", text, re.MULTILINE)
        assert times == list(found[2:]), name
        places.append((int(found[0]), int(found[1])))
    assert places == sorted(places)
    assert len(places) >= 20


def test_every_picture_is_on_a_page() -> None:
    shown = {(path.parent / link).resolve() for path in PAGES for link in read(path).links()}
    assert [path for path in (REPOSITORY / "outputs" / "readme").glob("*.*") if path.resolve() not in shown][:1] == []


@pages
def test_what_genlab_says_is_what_it_says(page: Page) -> None:
    """Names of diagnoses stand between quotes in the columns of what genlab says."""
    sources = "\n".join(path.read_text() for path in (REPOSITORY / "genlab" / "evaluation").glob("*.py"))
    for head, *rows in page.tables():
        for column in [k for k, cell in enumerate(head) if cell == "genlab says"]:
            said = [name for row in rows for name in re.findall(r'"([^"]+)"', row[column])]
            assert [name for name in said if f'"{name}"' not in sources] == []


# Commands


@pages
def test_every_command_is_one(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    refused = []
    for line in dict.fromkeys(page.lines()):
        try:
            if line not in MISTYPED:
                check_line(line, capsys)
        except Exception as error:
            refused.append(f"{line}: {type(error).__name__}: {error}")
    assert refused == []


@pages
def test_every_setting_is_one(page: Page) -> None:
    refused = []
    for text in page.settings():
        try:
            if "=..." not in text:
                check_setting(text)
        except Exception as error:
            refused.append(f"{text}: {type(error).__name__}: {error}")
    assert refused == []


@pages
def test_choices_in_the_column_of_a_group_are_there(page: Page) -> None:
    """Under `model=`, `dataset=`, `optimizer=` or `experiment=` stand names of such."""
    for head, *rows in page.tables():
        for column, group in enumerate(cell.strip("`").removesuffix("=") for cell in head):
            if group in GROUPS and head[column] == f"`{group}=`":
                found = {name for row in rows for name in re.findall(r"`(\w+)`", row[column])}
                assert found <= set(names(group))


# Examples that are run


SHORT = {
    "train": ["train.examples=128", "train.batch_size=64", "device.threads=1"],
    "evaluate": ["n=40", "k=2", "ais.chains=5", "ais.temperatures=20", "ais.sweeps=5"],
    "sample": ["n=4"],
}


def run_short(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    command, *words = shlex.split(line)[1:]
    words = [word for word in words if word.partition("=")[0] not in {"n", "k"}]
    outcome = call([command, *words, *SHORT.get(command, [])], capsys)
    assert outcome.code == 0, f"{line}: {outcome.err}"


def commands_below(heading: str) -> list[str]:
    """Lines of README's blocks of commands between this heading and the next."""
    text = (REPOSITORY / "README.md").read_text()
    (part,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"^```bash\n(.*?)^```", part, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


def test_the_first_steps_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = commands_below("Start")
    assert lines[0] == "make train"
    run_short("genlab train", capsys)  # as its recipe in the Makefile does
    for line in lines:
        if line.startswith("genlab") and "dashboard" not in line:
            run_short(line, capsys)
    assert len(trained(tmp_path)) >= 2
    run_short(f"genlab compare {' '.join(str(run) for run in trained(tmp_path / 'outputs' / 'train'))}", capsys)


def test_own_data_can_be_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    np.save("events.npy", generator.normal(size=(600, 5)).astype("float32"))
    for name in ("one", "two"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for k in range(100):
            pixels = generator.integers(0, 256, (20, 20), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{k}.png")
    lines = [line for line in commands_below("Your own data") if "dataset=" in line]  # evaluate would train features
    (tmp_path / "stars.csv").write_text(
        "kind,mass,radius\n" + "".join(f"{'abc'[k % 3]},{k % 7 + 0.5},{k % 5 - 1.5}\n" for k in range(150))
    )
    assert {"dataset=array", "dataset=image_folder", "dataset=table"} <= {
        word for line in lines for word in line.split()
    }
    for line in lines:
        small = " model.network=mlp model.hidden=[16]" if "diffusion" in line else ""
        run_short(line + small, capsys)


def test_the_python_on_the_page_works_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, _ = [text for language, text in read(REPOSITORY / "README.md").blocks if language == "python"]
    generator = np.random.default_rng(0)
    names: dict[str, object] = {"x": generator.normal(size=(300, 2)), "y": generator.integers(0, 2, 300)}
    exec(
        code.replace('"model=vae"', '"model=vae", "train.examples=2000"').replace("evaluate()", "evaluate(n=30, k=3)"),
        names,
    )
    assert len(trained(tmp_path)) == 2


def test_the_model_on_the_page_works_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It reaches the likelihood of independent pixels, and README shows a part of it."""
    page = read(REPOSITORY / "genlab" / "models" / "README.md")
    (code,) = [text for language, text in page.blocks if language == "python"]
    (configuration,) = [text for language, text in page.blocks if language == "yaml"]
    (tmp_path / "mine.py").write_text(code)
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "mine.yaml").write_text(configuration)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    train, evaluate = (line for language, text in page.blocks if language == "bash" for line in text.splitlines())
    outcome = call(shlex.split(train)[1:], capsys)
    assert outcome.code == 0, outcome.err
    assert f"mine.Mine is code of your own: {tmp_path / 'mine.py'}" in outcome.out
    assert "run=latest allow=mine.Mine" in outcome.out, "the next step works as printed"
    assert_refused(call(["evaluate"], capsys), "model._target_=mine.Mine is no model of genlab", "allow=mine.Mine")
    run_short(evaluate, capsys)
    (run,) = trained(tmp_path)
    likelihood = strict_json((run / "metrics.json").read_text())["log_likelihood_exact"]
    assert likelihood["value"] == pytest.approx(likelihood["baseline"]["value"], abs=0.5)

    (tmp_path / "other.py").write_text(code.replace("log_odds", "start"))
    (tmp_path / "conf" / "model" / "other.yaml").write_text(
        configuration.replace("log_odds", "start").replace("mine.", "other.")
    )
    outcome = call(["train", "model=other", "train.epochs=1", "--config-dir", str(tmp_path / "conf")], capsys)
    assert outcome.code == 0, f"a key called start is its own, no run to start from: {outcome.err}"

    _, shown = [text for language, text in read(REPOSITORY / "README.md").blocks if language == "python"]
    _, *body = shown.splitlines()
    assert textwrap.indent("\n".join(body), "    ") in code


# Whether a mistake is found


@pytest.mark.parametrize(
    "line",
    [
        "genlab train model=vea",
        "genlab train model.hidden=[3]",
        "genlab train model.latent_dim=-1",
        "genlab train -m model=ae,vae model.bta=1",
        "genlab sample smapler=gibbs",
        "genlab sample sampler=nothing",
        "genlab evaluate ais.chains=0",
        "genlab compare latest --metric fid",
        "genlab nothing",
        "make nothing",
        'make benchmark ARGS="nothing"',
        "pip install -e '.[nothing]'",
        "python -m tests.benchmarks.nothing",
        "make train  # a comment",
        "nothing",
    ],
)
def test_a_wrong_command_is_found(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 (Hydra's errors, ours and assertions alike)
        check_line(line, capsys)


@pytest.mark.parametrize(
    "text", ["model.k=0", "model.nothing=1", "model=vae train.epoch=3", "eta=2", "k=0", "nothing=1", "labels=[3]"]
)
def test_a_wrong_setting_is_found(text: str) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011
        check_setting(text)


def test_what_is_read_of_a_page(tmp_path: Path) -> None:
    path = REPOSITORY / "README.md"
    text = (
        "# A (b)\n\nSee `model=vae\ntrain.epochs=3` and [x](y.md#z), [k][l].\n\n```bash\ngenlab list\n```\n\n"
        "| a | b |\n|---|---|\n| `genlab train` | `k=3` \\| |\n\n[l]: https://x\n"
    )
    (tmp_path / "page.md").write_text(text)
    page = Page(path, *(lambda p: (p.blocks, p.prose))(read(tmp_path / "page.md")))
    assert page.lines() == ["genlab list", "genlab train"]
    assert page.settings() == ["model=vae train.epochs=3", "k=3"]
    assert list(page.links()) == ["y.md#z", "https://x"]
    assert page.anchors() == {"a-b"}
    assert list(page.tables()) == [[["a", "b"], ["`genlab train`", "`k=3` \\|"]]]

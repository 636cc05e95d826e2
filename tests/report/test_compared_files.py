"""What genlab compare writes: numbers that can be read back, and a page that needs nothing else."""

import csv
import re
import statistics
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genlab.report.documents import escape_latex, markdown, tex
from genlab.report.galleries import read_png
from genlab.report.tables import make_tables
from tests.helpers.compared_runs import BINARY, Page, compare, make_run, rows_of, value

HOSTILE = "a|b_c%d$e&f#g{h}~^\\i<script>alert(1)</script>*`"


def test_csv_gives_back_the_same_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    fids = [30.123456789012345, 0.1 + 0.2]
    for seed, fid in enumerate(fids):
        make_run(f"r{seed}", seed, measures={"fid": value(fid, 1 / 3)})
    compare(capsys, "r*")
    with Path("out/runs.csv").open() as file:
        lines = [line for line in csv.DictReader(file) if line["metric"] == "fid"]
    assert [float(line["value"]) for line in lines] == fids
    assert [(line["seed"], float(line["stderr"])) for line in lines] == [("0", 1 / 3), ("1", 1 / 3)]
    assert {line["features"] for line in lines} == {"cnn (0001e37e)"}
    with Path("out/table.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["fid"]) == statistics.fmean(fids)
    assert float(row["fid_err"]) == statistics.stdev(fids)
    assert (row["n_seeds"], row["seeds"], row["representation"]) == ("2", "0 1", BINARY)


@pytest.mark.usefixtures("drawn")
def test_the_page_needs_nothing_else_and_no_label_can_break_out(capsys: pytest.CaptureFixture[str]) -> None:
    measures = {"fid": value(30.0, 1.0), "unheard_of": value(3.0, 0.1), "broken": value(None), "odd": "text"}
    diagnosis = {"name": "collapse", "evidence": HOSTILE, "remedy": "set model.beta=1"}
    make_run("a", measures=measures, network=HOSTILE, facts={"diagnoses": [diagnosis]})
    make_run("b", measures=measures, network="mlp")
    compare(capsys, "a", "b")
    text = Path("out/index.html").read_text()
    page = Page(text)
    assert page.images == 2  # one a row
    assert all(load.startswith(("#", "data:image/", "url(#")) for load in page.loads if load)
    assert not re.search(r"@import|url\(\s*['\"]?http|src=['\"]?http", text)
    assert page.scripts == 1
    assert "<script>alert" not in text
    assert HOSTILE in page.text
    assert "genlab train model=vae" in page.text
    assert not re.search(r"\b(nan|inf)\b", page.text.lower())
    for name in ("figures/measure_fid.pdf", "figures/curve_loss_of_vae.svg", "figures/curve_loss_of_vae_seconds.pdf"):
        assert Path("out", name).stat().st_size > 1000
    letters = re.findall(r'<path id="(DejaVuSans[^"]*)"', text)
    assert len(letters) == len(set(letters)), "one outline of each letter"
    assert set(re.findall(r'href="#(DejaVuSans[^"]*)"', text)) == set(letters)
    assert b"/FontFile2" in Path("out/figures/measure_fid.pdf").read_bytes()  # TrueType, embedded


def test_the_page_of_fourteen_runs_is_small_and_begins_with_their_samples(capsys: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0)
    names = ("samples", "latent")
    for k in range(14):
        make_run(f"r{k:02d}", model=f"m{k}", measures={"fid": value(30.0 + k, 1.0)})
        grey = Image.fromarray(noise.integers(0, 256, (73, 73), dtype=np.uint8)).resize(
            (584, 584), Image.Resampling.NEAREST
        )
        for name in names:
            grey.save(f"r{k:02d}/evaluation/{name}.png")
    compare(capsys, "r*")
    text = Path("out/index.html").read_text()
    assert len(text) < 2e6  # beside a megabyte for figures
    first = Path("r00/evaluation/samples.png")
    picture = read_png(first)
    assert picture is not None
    assert len(picture.uri) < first.stat().st_size
    assert text.index('<h2 id="samples">') < text.index('<h2 id="overview">')
    assert Page(text).images == len(names) * 14


def test_hostile_labels_in_markdown_and_latex() -> None:
    make_run("a", measures={"fid": value(30.0, 1.0)}, network=HOSTILE)
    make_run("b", measures={"fid": value(31.0, 1.0)}, network="mlp")
    tables = make_tables(rows_of("a", "b").rows)
    lines = [line for line in markdown(tables, "title").splitlines() if line.startswith("| network=a")]
    assert len(lines) == len(tables)
    for table, line in zip(tables, lines, strict=True):
        assert len(re.findall(r"(?<!\\)\|", line)) == len(table.columns) + 3
    assert "<script" not in re.sub(r"\\<", "", "\n".join(lines))
    text = tex(tables, "title\nwith a second line")
    body = re.sub(r"^%.*$", "", text, flags=re.MULTILINE)
    assert body.count(r"\begin{tabular}") == body.count(r"\end{tabular}") == len(tables)
    bare = re.sub(r"\\[{}$&#%_\\]", "", body)  # what is left is syntax
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not set("#%~_") & set(re.sub(r"\$[^$]*\$", "", bare))
    assert escape_latex("50 % of a_b") == r"50 \% of a\_b"


def test_the_tables_of_many_rows_and_one(capsys: pytest.CaptureFixture[str]) -> None:
    for k in range(10):
        make_run(
            f"runs/{k}_beta-{k}", beta=k, measures={"fid": value(30.0 + k, 1.0), "training_seconds": value(3.0 + k)}
        )
    compare(capsys, "runs", "--metrics", "fid")
    page = Page(Path("out/index.html").read_text())
    assert page.images == 10  # the samples of all rows, side by side
    assert [row.label for row in rows_of("runs").rows] == [f"beta={k}" for k in range(10)]
    assert "33.0 ± 1.0" in compare(capsys, "runs/3_beta-3", "--metrics", "fid").out

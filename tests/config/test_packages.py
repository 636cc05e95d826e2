"""An installed package that registers its configurations by an entry point: `pip install` alone makes model=mymodel work."""

import os
import shutil
from pathlib import Path

import pytest

from tests.helpers.own_models import install
from tests.helpers.processes import Outcome, assert_refused, environment, execute, info, succeed

IMPORTED = "import pathlib; pathlib.Path('imported').touch()"
SHORT = ("train.examples=1000", "hydra.run.dir=run")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    install(folder, marker=IMPORTED)
    return folder


def genlab(folder: Path, site: Path, *words: str) -> Outcome:
    before = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(site), *([before] if before else [])])
    return execute(words, folder, env=environment(PYTHONPATH=path))


@pytest.mark.slow
def test_it_is_trained_by_its_name_and_said_to_be_of_its_package(site: Path, tmp_path: Path) -> None:
    outcome = genlab(tmp_path, site, "train", "model=mymodel", *SHORT)
    assert outcome.code == 0, outcome.err
    assert "model._target_=genlab_mymodel.mine.Mine is of the installed package genlab-mymodel 1.2" in outcome.out
    assert info(tmp_path / "run")["packages"] == {"genlab-mymodel": "1.2"}
    assert "allow=" not in outcome.out, "nothing more is to be typed for a package"
    for words in (["sample", "run=run", "n=4"], ["resume", "run", "train.examples=2000"]):
        again = genlab(tmp_path, site, *words)
        assert again.code == 0, again.err


@pytest.mark.slow
def test_a_model_of_genlab_imports_no_package(site: Path, tmp_path: Path) -> None:
    outcome = genlab(tmp_path, site, "train", "model=vae", "model.hidden=[16]", *SHORT)
    assert outcome.code == 0, outcome.err
    assert not (tmp_path / "imported").exists()
    assert "packages" not in info(tmp_path / "run")
    assert genlab(tmp_path, site, "train", "model=mymodel", "--cfg", "job").code == 0
    assert not (tmp_path / "imported").exists(), "nor does looking at a configuration"
    assert genlab(tmp_path, site, "train", "model=mymodel", "train.examples=1000", "hydra.run.dir=other").code == 0
    assert (tmp_path / "imported").exists()


@pytest.mark.slow
def test_it_is_listed_with_where_it_comes_from_and_explained(site: Path, tmp_path: Path) -> None:
    listed = genlab(tmp_path, site, "list", "models").out.splitlines()
    assert listed[-1].split(maxsplit=1) == [
        "mymodel",
        "independent pixels, by gradient descent (of the installed package genlab-mymodel 1.2)",
    ]
    assert any(line.split()[0] == "vae" for line in listed)
    shown = genlab(tmp_path, site, "train", "model=mymodel", "--help")
    assert shown.code == 0, shown.err
    assert "model.log_odds=0.0" in shown.out
    assert_refused(genlab(tmp_path, site, "train", "model=mymodl"), "did you mean 'model=mymodel'?")
    assert_refused(
        genlab(tmp_path, site, "train", "model=mymodel", "model.log_odd=1"), "did you mean 'model.log_odds=1'?"
    )


@pytest.mark.slow
def test_without_the_package_its_runs_are_refused(site: Path, tmp_path: Path) -> None:
    assert genlab(tmp_path, site, "train", "model=mymodel", *SHORT).code == 0
    assert_refused(execute(["sample", "run=run"], tmp_path), "genlab_mymodel.mine.Mine", "install its package")


@pytest.mark.slow
def test_only_a_package_that_registers_widens_what_may_be_built(site: Path, tmp_path: Path) -> None:
    """A module that lies beside it on the path, and a target of it that its files do not name, are refused as before."""
    assert genlab(tmp_path, site, "train", "model=mymodel", *SHORT).code == 0
    config = tmp_path / "run" / "config.yaml"
    text = config.read_text()
    facts = tmp_path / "run" / "run.json"
    facts.write_text(facts.read_text().replace('"state": "finished"', '"state": "interrupted"'))
    for target in ("genlab_mymodel.mine.GenerativeModel", "genlab_mymodel.other.Mine"):
        config.write_text(text.replace("genlab_mymodel.mine.Mine", target))
        assert_refused(genlab(tmp_path, site, "resume", "run"), target, "add allow=")


def test_a_name_of_genlab_stays_genlabs(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    install(site, "vae", marker=IMPORTED)
    outcome = genlab(tmp_path, site, "train", "model=vae", "model.hidden=[16]", *SHORT)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("VAE with ")
    assert not (tmp_path / "imported").exists()


def test_a_package_without_its_folder_disturbs_nobody(site: Path, tmp_path: Path) -> None:
    broken = tmp_path / "site"
    broken.mkdir()
    install(broken, "broken")
    for file in sorted((broken / "genlab_broken").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    (broken / "genlab_broken").rmdir()
    listed = genlab(tmp_path, broken, "list", "models")
    assert listed.code == 0
    assert "broken" not in listed.out


@pytest.mark.slow
def test_the_first_way_is_the_folder_of_the_user(tmp_path: Path) -> None:
    """A file beside one's own --config-dir: trained, resumed, explained and evaluated by naming that folder."""
    from tests.helpers.own_models import CONFIGURATION, FAMILY

    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "mine.yaml").write_text(CONFIGURATION)
    (tmp_path / "mine.py").write_text(FAMILY)
    own = ("--config-dir", "conf")
    outcome = succeed(["train", "model=mine", *own, *SHORT], tmp_path)
    assert "is code of your own" in outcome.out
    assert_refused(execute(["resume", "run", "train.examples=2000"], tmp_path), "mine.Mine", "allow=mine.Mine")
    succeed(["resume", "run", "train.examples=2000", *own], tmp_path)
    succeed(["resume", "run", "train.examples=3000", "--config-dir=conf"], tmp_path)
    succeed(["sample", "run=run", "n=4", *own], tmp_path)
    assert "model.log_odds" in succeed(["train", "model=mine", *own, "--help"], tmp_path).out
    (tmp_path / "mine.py").write_text(FAMILY.replace("def sample_loop", "def sample_loop("))
    assert_refused(execute(["train", "model=mine", *own], tmp_path), "mine.py, line", "mend it")


def test_a_package_whose_configurations_were_not_packed_is_named(tmp_path: Path) -> None:
    install(tmp_path / "site")
    shutil.rmtree(tmp_path / "site" / "genlab_mymodel" / "conf")
    outcome = genlab(tmp_path, tmp_path / "site", "list", "models")
    assert outcome.code == 0
    assert "mymodel" not in outcome.out
    (line,) = outcome.err.splitlines()
    assert line.startswith("genlab: warning: the package genlab-mymodel names the folder of configurations")
    assert 'package-data] genlab_mymodel = ["conf/**/*.yaml"]' in line

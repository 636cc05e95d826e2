"""The files of an evaluation: no evaluation destroys another one, at the same time or killed while it writes."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from genlab.evaluation.entries import Entry
from genlab.evaluation.findings import Findings
from genlab.evaluation.output import write


def findings(n: int) -> Findings:
    return Findings({"fid": Entry("family", float(n), 0.1, "distance", "statistic")}, facts={"settings": {"n": n}})


def whole(folder: Path) -> int | None:
    """The n of an evaluation whose files belong together; None where one is missing."""
    values = folder / "metrics.json"
    if folder.name == "evaluation" and not values.exists():
        values = folder.parent / "metrics.json"
    try:
        facts, numbers = (json.loads(path.read_text()) for path in (folder / "evaluation.json", values))
    except FileNotFoundError:
        return None
    assert numbers["fid"]["value"] == facts["settings"]["n"]
    return int(facts["settings"]["n"])


def kept(run: Path) -> list[int | None]:
    return sorted((whole(path) for path in run.glob("evaluation*")), key=str)


def test_evaluations_that_end_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: write(findings(n), tmp_path, 100, None), range(6)))
    assert kept(tmp_path) == list(range(6))
    assert whole(tmp_path / "evaluation") == json.loads((tmp_path / "metrics.json").read_text())["fid"]["value"]


@pytest.mark.parametrize("second", [1, 2])
def test_an_evaluation_that_is_killed_leaves_the_earlier_one(
    second: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each change of the folder, with the same settings and with others; the next one puts all right."""
    for moment in range(12):
        run, done = tmp_path / str(moment), [0]
        write(findings(1), run, 100, None)

        def counted(change: Any, done: list[int] = done, moment: int = moment) -> Any:
            def or_killed(*arguments: Any, **options: Any) -> Any:
                done[0] += 1
                if done[0] > moment:
                    raise KeyboardInterrupt
                return change(*arguments, **options)

            return or_killed

        with monkeypatch.context() as patched:
            for owner, name in ((Path, "rename"), (Path, "replace"), (Path, "mkdir"), (shutil, "rmtree")):
                patched.setattr(owner, name, counted(getattr(owner, name)))
            try:
                write(findings(second), run, 100, None)
            except KeyboardInterrupt:
                ended = False
            else:
                ended = True
        assert json.loads((run / "metrics.json").read_text())["fid"]["value"] in (1, second)
        if second != 1:
            assert 1 in kept(run)
        write(findings(second), run, 100, None)
        assert kept(run) == ([1] if second == 1 else [1, 2])
        assert not list(run.rglob("*.partial"))
        if ended:
            break
    assert ended
    assert moment > 4

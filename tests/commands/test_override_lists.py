"""A fuzzing test: whatever the overrides are, the answer is a correct run or one line, and nothing lies about."""

from pathlib import Path

import pytest

from genlab.errors import LONGEST_LINE
from tests.helpers.forked import LIMIT, LONGEST_WAIT, Answer, answers
from tests.helpers.override_lists import override_list

FEW, MANY = 10, 10_000


def fault(arguments: list[str], answer: Answer) -> str | None:
    """What is wrong with an answer; None where nothing is."""
    lines = answer.err.splitlines()
    if answer.code < 0:
        limits = f"{LIMIT} s of the processor, or {LONGEST_WAIT} s of waiting"
        return f"ended by signal {-answer.code} after {answer.seconds:.0f} s (a hang is {limits})"
    if "Traceback" in answer.err:
        return "traceback"
    if any(len(line) > LONGEST_LINE or not line.isprintable() for line in lines):
        return "a line is too long, or is not printable"
    jobs = [line for line in lines if line.startswith("genlab: error: job ")]
    of_jobs = answer.code == 1 and "-m" in arguments and lines == jobs
    if not of_jobs and (answer.code, len(lines)) not in ((0, 0), (2, 1)):
        return f"exit code {answer.code} and {len(lines)} lines"
    if not all(line.startswith("genlab: error: ") for line in lines):
        return "no message of genlab's own"
    if outside := [file for file in answer.files if not file.startswith(("new/", "outputs/", "trained/"))]:
        return f"written elsewhere: {outside[:3]}"
    return None


def check(numbers: range, folder: Path) -> None:
    lists = [override_list(number) for number in numbers]
    found = {}
    for number, arguments, answer in zip(numbers, lists, answers(lists, folder), strict=True):
        if problem := fault(arguments, answer):
            found[number] = (problem, arguments, answer.err[:2000])
    assert not found


@pytest.mark.slow
def test_a_few_override_lists(tmp_path: Path) -> None:
    check(range(FEW), tmp_path)


@pytest.mark.slow
def test_many_override_lists(tmp_path: Path) -> None:
    check(range(FEW, MANY), tmp_path)

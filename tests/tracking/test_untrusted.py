"""Files of a run folder, read with distrust."""

from itertools import pairwise
from pathlib import Path

import pytest

from genlab.errors import GenlabError
from genlab.tracking.untrusted import plain, read_json, read_yaml

LAUGHS = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{b}: &{b} [{f'*{a},' * 10}]\n" for a, b in pairwise("abcdefghi")
)
"""A billion values in 500 characters."""


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system [touch executed]",
        "a: !!binary aGk=",
        "a: 2001-01-01",
        "a: !!timestamp abc",
        "[" * 100_000,
        "- " * 50_000,
        LAUGHS,
        "&a [*a]",
        "a: 0x" + "f" * 5000,
        "? [1, 2]\n: 3",
        "a: \x1b[31m",
    ],
)  # fmt: skip
def test_yaml_that_is_more_than_plain_values_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(GenlabError, match=str(path)) as error:
        read_yaml(path)
    assert "\n" not in str(error.value)


def test_json_is_read_with_the_same_distrust(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    for text in ("{", "[" * 100_000, '{"a": 1' + "0" * 5000 + "}", '{"a": 1' + "0" * 30 + "}", b"\xff\xfe"):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(GenlabError, match=str(path)):
            read_json(path)
    path.write_text('{"a": "x\\u001b[31my\\u202e", "b": [NaN, true, null], "c\\u0007": "ä 😀\\n"}')
    assert str(read_json(path)) == str({"a": "x�[31my�", "b": [float("nan"), True, None], "c�": "ä 😀\n"})
    assert plain({"a": [1, 2.5, "b", None, True]}) == {"a": [1, 2.5, "b", None, True]}

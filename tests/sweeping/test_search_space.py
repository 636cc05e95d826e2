"""What a search may vary, read from Hydra's words."""

import re

import pytest

from genlab.errors import GenlabError
from genlab.sweeping.search_space import Dimension, keys_that_differ, read_space


def one(word: str) -> Dimension:
    (dimension,) = read_space({}, [word]).dimensions
    return dimension


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("a.b=interval(0.1,2)", Dimension("a.b", 0.1, 2.0)),
        ("a=int(interval(2,64))", Dimension("a", 2, 64)),
        ("a=tag(log,interval(1e-4,1e-2))", Dimension("a", 1e-4, 1e-2, log=True)),
        ("a=tag(log,int(interval(2,64)))", Dimension("a", 2, 64, log=True)),
        ("a=range(0,10,2)", Dimension("a", 0, 8, step=2)),
        ("a=range(0,9,2)", Dimension("a", 0, 8, step=2)),
        ("a=range(0.0,0.5,0.25)", Dimension("a", 0.0, 0.25, step=0.25)),
        ("a=x,y", Dimension("a", choices=("x", "y"))),
        ("a=choice([1],[2,3],x)", Dimension("a", choices=("[1]", "[2,3]", "x"))),
    ],
)
def test_a_word_of_several_values_is_a_dimension(word: str, wanted: Dimension) -> None:
    assert one(word) == wanted


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("a=interval(2,1)", "name the smaller end first, as in a=interval(0.1,2)"),
        ("a=tag(log,interval(0,1))", "name the smaller end first and above 0"),
        ("a=range(3,1)", "name both ends and a step upwards"),
        ("seed=0,1", "a seed is no choice"),
        ("a=1", "there is nothing to vary"),
    ],
)
def test_what_cannot_be_searched_is_refused(word: str, told: str) -> None:
    with pytest.raises(GenlabError, match=re.escape(told)):
        read_space({}, [word])


def test_a_number_is_typed_with_four_digits_and_a_whole_one_in_full() -> None:
    assert Dimension("a", 0.0, 1.0).word(0.123456) == "a=0.1235"
    assert Dimension("a", 1e-6, 1.0, log=True).word(1.23456e-5) == "a=1.235e-05"
    assert Dimension("a", 1, 100_000).word(65_537) == "a=65537"
    assert Dimension("a", choices=("[1,2]",)).word("[1,2]") == "a=[1,2]"


@pytest.mark.parametrize(
    ("word", "value", "held"),
    [
        ("a=interval(0.1,2)", 1, 1),
        ("a=interval(0.1,2)", 3, None),
        ("a=interval(0.1,2)", None, None),
        ("a=interval(0,2)", True, None),
        ("a=int(interval(2,64))", 2.5, None),
        ("a=range(0,10,2)", 4, 4),
        ("a=range(0,10,2)", 3, None),
        ("a=choice([1],[2,3])", [2, 3], "[2,3]"),
        ("a=null,x", None, "null"),
        ("a=false,true", True, "true"),
    ],
)
def test_a_value_of_the_configuration_is_found_in_the_space(word: str, value: object, held: object) -> None:
    assert one(word).holds(value) == held


def test_a_trial_is_the_words_that_all_share_and_its_own() -> None:
    space = read_space({"b": "interval(0,1)", "c": "x,y"}, ["a=1", "b=2"])
    assert space.words({"c": "y"}) == ["b=2", "a=1", "c=y"] or space.words({"c": "y"}) == ["a=1", "b=2", "c=y"]
    assert space.words({}) == [word for word in space.words({"c": "y"}) if word != "c=y"]
    assert space.defaults({"c": "x"}) == {"c": "x"}
    assert space.defaults({"c": "z"}) == {}


def test_of_a_key_that_is_typed_twice_the_last_word_holds() -> None:
    space = read_space({}, ["a=1,2", "b=1", "b=interval(0,1)", "a=3"])
    assert (space.fixed, [d.key for d in space.dimensions]) == (("a=3",), ["b"])


def test_the_order_of_words_makes_no_difference() -> None:
    assert keys_that_differ(["a=1", "b=2"], ["b=2", "a=1"]) == []
    assert keys_that_differ(["a=1"], ["a=2", "b=1"]) == ["a=1 -> a=2", "nothing -> b=1"]

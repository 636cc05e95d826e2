"""A family of the user's own that breaks the contract is told so in one line."""

import re
from pathlib import Path

import pytest
import torch

from genlab.errors import GenlabError
from genlab.models.contract import check_measures, check_state, checked_updates
from tests.helpers.processes import assert_refused, call
from tests.helpers.support import configure, make_model, small_data

MODEL = make_model(configure("model=vae", "model.hidden=[8]"), small_data("vectors").spec)
WHO = "genlab.models.latent.vae.VAE"


@pytest.mark.parametrize(
    ("loop", "says"),
    [
        (None, "returns nothing; it should yield {'loss': loss.detach()} after each update"),
        ({"loss": torch.zeros(())}, "returns a dict"),
        (iter([torch.zeros(())]), "yields a number; it should yield a mapping"),
        (iter([None]), "yields nothing"),
        (iter([{}]), "yields a dict"),
        (iter([{"loss": torch.zeros(3)}]), "yields a tensor of shape (3,) as 'loss'"),
        (iter([{"loss": 0.5}]), "yields a float as 'loss'"),
        (iter([{"loss": torch.zeros((), requires_grad=True)}]), "it should yield loss.detach()"),
    ],
)
def test_a_loop_that_is_none(loop: object, says: str) -> None:
    with pytest.raises(GenlabError, match=re.escape(f"{WHO}.train_loop")) as caught:
        list(checked_updates(MODEL, loop))
    assert says in str(caught.value)


def test_states_and_measures_of_another_shape() -> None:
    check_state(MODEL, torch.zeros(4, 3), 4)
    check_measures(MODEL, {"loss": torch.zeros(4)}, 4)
    for check, says in [
        (
            lambda: check_state(MODEL, torch.zeros(4, 1, 3), 4),
            "yields a tensor of shape (4, 1, 3); it should yield examples of shape (4, 3)",
        ),
        (lambda: check_measures(MODEL, torch.zeros(4), 4), "returns a tensor of shape (4,)"),
        (
            lambda: check_measures(MODEL, {"loss": torch.zeros(())}, 4),
            "returns a number as 'loss'; it should give one value an example",
        ),
    ]:
        with pytest.raises(GenlabError) as caught:
            check()
        assert says in str(caught.value)


@pytest.mark.parametrize(
    ("line", "instead", "says"),
    [
        ('yield {"loss": loss.detach()}', "pass", "mine.Mine.train_loop returns nothing"),
        (
            'return {"loss": self.errors(batch.x)}',
            'return {"loss": self.errors(batch.x).mean()}',
            "mine.Mine.evaluate returns a number",
        ),
        (
            "yield self.scaling.samples(u.view(n, *self.data.shape), mean)",
            "yield u",
            "mine.Mine.sample_loop yields a tensor of shape",
        ),
    ],
)
def test_the_line_names_the_users_class(
    line: str,
    instead: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(["new", "model", "mine"], capsys).code == 0
    text = Path("mine.py").read_text()
    assert line in text
    Path("mine.py").write_text(text.replace(line, instead))
    outcome = call(["train", "model=mine", "train.examples=300", "--config-dir", "conf"], capsys)
    assert_refused(outcome, says)

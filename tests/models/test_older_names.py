"""Checkpoints from before the scaling of data was a part of its own hold other names, and still open."""

import pytest
import torch

from tests.helpers.support import configure, make_model, small_data

OLDER = {"scaling.shift": "shift", "scaling.scale": "scale"}
NAMES = {
    "ae": {**OLDER, "code_density.ring": "codes.ring", "code_density.written": "codes.written"},
    "vae": OLDER,
    "hvae": OLDER,
    "vqvae": {**OLDER, "prior.position_embedding": "prior.place"},
    "classifier": {"scaling.shift": "mean", "scaling.scale": "scale"},
}


@pytest.mark.parametrize("kind", ["vectors", "grey"])
@pytest.mark.parametrize("family", NAMES)
def test_parameters_are_found_under_their_older_names(family: str, kind: str) -> None:
    config, data = configure(f"model={family}"), small_data(kind).spec
    older = dict(NAMES[family])
    if family in ("vae", "hvae", "vqvae") and kind == "vectors":
        older |= {f"observation.{now}": f"observation.{before}" for now, before in OLDER.items()}
    torch.manual_seed(0)
    written = make_model(config, data).state_dict()
    assert older.keys() <= written.keys()
    torch.manual_seed(1)
    model = make_model(config, data)
    model.load_state_dict({older.get(name, name): value for name, value in written.items()})
    for name, value in model.state_dict().items():
        assert torch.equal(value, written[name]), name

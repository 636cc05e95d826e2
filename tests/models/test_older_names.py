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


DENOISER = {
    "ema.": "averaged.",
    "scaling.": "units.",
    "network.position_embedding": "network.place",
    "embedding.class_embedding.": "embedding.told.",
    "teacher_set": "taught",
}


@pytest.mark.parametrize(
    ("family", "option"),
    [("diffusion", "conditional=true"), ("flow_matching", "conditional=true"), ("flow_matching", "reflow=0.5")],
)
def test_the_networks_of_diffusion_models_are_found_under_their_older_names(family: str, option: str) -> None:
    config = configure(f"model={family}", "model.network=transformer", "model.hidden=[32]", f"model.{option}")
    data = small_data("grey").spec
    torch.manual_seed(0)
    written = make_model(config, data).state_dict()
    older = {}
    for name, value in written.items():
        for now, before in DENOISER.items():
            name = name.replace(now, before)
        older[name] = value
    assert {"averaged.network.place", "units.shift"} <= older.keys()
    torch.manual_seed(1)
    model = make_model(config, data)
    model.load_state_dict(older)
    for name, value in model.state_dict().items():
        assert torch.equal(value, written[name]), name

"""The units of the user: columns are standardised where they need it, and what is saved or read is in the units of the user."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genlab.data.arrays import arrays_as_raw
from genlab.data.spec import DataSpec
from genlab.data.splits import prepare
from genlab.data.standardise import moments
from genlab.data.units import Units
from genlab.data.units_of_run import in_units_of, numbered_as
from genlab.errors import GenlabError
from genlab.evaluation.given_samples import read_samples
from genlab.inference.samples import Samples
from genlab.inference.saved_samples import save_arrays
from tests.helpers.support import tensor

RNG = np.random.default_rng(0)
UNLIKE = RNG.normal(size=(400, 3)) * [1e-9, 1, 1e9] + [0, 5, 1e8]


def prepared(x: Any, y: Any = None, *, standardise: Any = "auto", **keys: Any) -> Any:
    raw = arrays_as_raw(x, y, standardise=standardise, **keys)
    return prepare(raw, binarize="none", dequantize=False, validation=0.1, test=0.1)


def test_a_specification_survives_its_checkpoint_and_older_ones_open(tmp_path: Path) -> None:
    spec = prepared(UNLIKE, np.arange(400) % 2 + 1, component_names=["a", "b", "c"]).spec
    torch.save(spec.state_dict(), tmp_path / "spec.pt")
    state = torch.load(tmp_path / "spec.pt", weights_only=True)
    found = DataSpec.from_state_dict(state)
    assert found == spec
    assert (found.class_names, found.names, found.component_names) == (("1", "2"), ("1", "2"), ("a", "b", "c"))
    assert found.units is not None
    assert found.units.same_as(spec.units)
    old = {key: value for key, value in state.items() if key not in ("class_names", "component_names", "units")}
    older = DataSpec.from_state_dict(old)
    assert (older.units, older.names, older.component_names) == (None, ("0", "1"), None)
    for key, value in (("class_names", ["a"]), ("units", {"shift": torch.zeros(2), "scale": torch.ones(2)})):
        with pytest.raises(ValueError, match="of no data"):
            DataSpec.from_state_dict({**state, key: value})


def test_columns_of_unlike_units_are_standardised_over_the_training_split() -> None:
    data = prepared(UNLIKE)
    x = tensor(data.train)
    assert (x.dtype, data.spec.support) == (torch.float32, "real")
    assert torch.allclose(x.mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(x.std(0, unbiased=False), torch.ones(3), atol=1e-5)
    whole = torch.cat([tensor(part) for part in (data.train, data.validation, data.test)])
    back = data.spec.in_units(whole)
    assert back.dtype == torch.float64
    assert np.allclose(back.numpy().std(0), UNLIKE.std(0), rtol=1e-5)
    (line,) = data.remarks
    assert "standard deviations reach from" in line
    assert "(column 0)" in line
    assert "dataset.standardise=false" in line


def test_what_needs_no_units_of_its_own_stays_as_it_is() -> None:
    like = RNG.normal(size=(200, 3)) * [1, 3, 8]
    assert prepared(like).spec.units is None
    assert prepared(like, standardise=True).spec.units is not None
    assert prepared(UNLIKE, standardise=False).spec.units is None
    assert prepared(UNLIKE > 0).spec.support == "binary"
    assert prepared(RNG.normal(size=(200, 6, 5)), kind="images").spec.units is None
    for x in (UNLIKE > 0, RNG.normal(size=(200, 6, 5))):
        with pytest.raises(GenlabError, match=r"dataset.standardise=true: is for columns of numbers"):
            prepared(x, standardise=True, kind=None if x.ndim == 2 else "images")


def test_seconds_since_1970_and_constants() -> None:
    x = RNG.normal(size=(300, 2)) * [1, 3] + [0, 1.7e9]
    data = prepared(np.column_stack([x, np.full(300, 7.25)]))
    assert "varies by 3" in data.remarks[0]
    back = data.spec.in_units(tensor(data.train)).numpy()
    assert back[:, 1].std() == pytest.approx(3, rel=0.1)
    assert (back[:, 2] == 7.25).all()


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1.0, 1e30, 1e300])
def test_values_of_any_size(size: float) -> None:
    x = size * RNG.normal(size=(300, 2))
    mean, std = moments(torch.from_numpy(x))
    assert np.allclose(mean.numpy() / size, (x / size).mean(0), rtol=1e-9)
    assert np.allclose(std.numpy() / size, (x / size).std(0), rtol=1e-9)
    data = prepared(x, standardise=True)
    back = data.spec.in_units(tensor(data.train)).numpy() / size
    assert np.allclose(back.std(0), (x / size).std(0), rtol=0.1)
    if size not in (1.0,):
        with pytest.raises(GenlabError, match=r"(values reach|vary by) .*; set dataset.standardise=true, or"):
            prepared(x)


def test_curves_have_a_scale_for_each_channel() -> None:
    x = RNG.normal(size=(200, 2, 9)) * [[1e-6], [1e3]] * np.linspace(1, 2, 9)
    data = prepared(x, kind="curves")
    found = tensor(data.train)
    assert torch.allclose(found.square().mean((0, 2)).sqrt(), torch.ones(2), atol=1e-3)
    assert float(found[:, 0, -1].std() / found[:, 0, 0].std()) == pytest.approx(2, rel=0.2), "the shape stays"
    assert "channel" in data.remarks[-1]


def test_samples_are_saved_in_the_units_and_with_the_labels_of_the_user(tmp_path: Path) -> None:
    spec = prepared(UNLIKE, np.array(["galaxy", "star"])[np.arange(400) % 2], component_names=["a", "b", "c"]).spec
    x, labels = torch.randn(40, 3), torch.arange(40) % 2
    arrays = Samples(x, labels=labels).arrays(spec)
    assert arrays["labels"].tolist()[:2] == ["galaxy", "star"]
    files = save_arrays(tmp_path, arrays, spec)
    assert [file.name for file in files] == ["samples.npz", "samples.csv"]
    assert files[1].read_text().splitlines()[0] == "a,b,c,label"
    assert np.allclose(arrays["samples"].std(0) / UNLIKE.std(0), 1, atol=0.5)
    again = read_samples(files[0], spec)
    assert torch.allclose(again.x, x, atol=1e-5)
    assert again.labels is not None
    assert torch.equal(again.labels, labels)
    np.savez(tmp_path / "nova.npz", samples=arrays["samples"], labels=np.full(40, "nova"))
    with pytest.raises(GenlabError, match=r"samples=.*nova.npz: labels=\[nova\]: array has no class nova"):
        read_samples(tmp_path / "nova.npz", spec)
    numbers = prepared(UNLIKE, np.arange(400) % 2 + 4).spec
    assert Samples(x, labels=labels).arrays(numbers)["labels"].tolist()[:2] == [4, 5]
    plain = prepared(UNLIKE / UNLIKE.std(0)).spec
    assert Samples(x).arrays(plain)["samples"].dtype == np.float32


def test_samples_of_counts_come_back(tmp_path: Path) -> None:
    counts = RNG.integers(49, 4019, (60, 6, 6)).astype(np.uint16)
    counts[0, 0, :2] = 49, 4018
    spec = prepared(counts, kind="images", standardise=False).spec
    assert spec.support == "unit"
    np.save(tmp_path / "s.npy", counts)
    x = read_samples(tmp_path / "s.npy", spec).x
    assert (float(x.min()), float(x.max())) == (0, 1)
    assert np.array_equal(spec.in_units(x).round().numpy()[:, 0], counts)
    np.save(tmp_path / "far.npy", counts.astype(float) * 3)
    with pytest.raises(GenlabError, match=r"and the data lie in \[49, 4018\]; rescale them to \[49, 4018\]$"):
        read_samples(tmp_path / "far.npy", spec)


def test_other_data_of_a_run_are_seen_in_its_units() -> None:
    own, other = prepared(UNLIKE), prepared(2 * UNLIKE + 1)
    seen = in_units_of(other, own.spec)
    assert seen.spec.units is own.spec.units
    for before, after in ((other.train, seen.train), (other.test, seen.test)):
        v = other.spec.in_units(tensor(before))
        assert torch.allclose(own.spec.from_units(v), tensor(after), rtol=1e-4, atol=1e-5)
    x = tensor(seen.train)
    assert torch.allclose(seen.spec.mean, x.mean(0), atol=1e-4)
    assert torch.allclose(seen.spec.std, x.std(0, unbiased=False), rtol=1e-4)
    assert in_units_of(own, own.spec) is own


def test_older_runs_number_their_classes_in_the_order_of_text() -> None:
    data = prepared(RNG.normal(size=(200, 3)), np.array([1, 2, 10, 2])[np.arange(200) % 4])
    assert data.spec.class_names == ("1", "2", "10")
    older = replace(data.spec, class_names=None)
    seen = numbered_as(data, older)
    assert seen.spec.class_names == ("1", "10", "2")
    for name in ("train", "validation", "test"):
        before, after = (getattr(of, name).y.tolist() for of in (data, seen))
        assert [data.spec.names[k] for k in before] == [seen.spec.names[k] for k in after]
    assert numbered_as(data, data.spec) is data


def test_units_are_the_same_but_for_rounding() -> None:
    units = Units.of_range(49, 4018)
    assert units.outer(torch.tensor([0.0, 1.0])).tolist() == [49, 4018]
    assert units.inner(torch.tensor([49.0, 4018.0])).tolist() == [0, 1]
    assert units.same_as(Units.of_range(49, 4018 + 1e-5))
    assert not units.same_as(Units.of_range(49, 4019))
    assert not units.same_as(None)

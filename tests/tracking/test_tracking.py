"""What a run leaves behind for eyes and for programs: TensorBoard's files as TensorBoard reads them, and the pictures."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.plugins.hparams.backend_context import Context as BackendContext
from torch import Tensor

from genlab.cli import main
from genlab.data.spec import DataSpec, Support
from genlab.plots.captions import caption
from genlab.plots.images import (
    BACKGROUND,
    GAP,
    TILE,
    Picture,
    grid,
    latent_scatter,
    pairs,
    png,
    save_png,
)
from genlab.plots.vector_planes import planes_of, scatter
from genlab.tracking import console
from genlab.tracking.events import EventWriter
from genlab.tracking.flat_config import parameters
from genlab.tracking.run_folder import RunFolder
from genlab.tracking.tracker import Tracker
from tests.helpers.processes import info, records

EXAMPLES = 3000
KEYS = ("examples", "epoch", "seconds")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training that logs, evaluates and shows pictures at moments of their own."""
    folder = tmp_path_factory.mktemp("tracking") / "run"
    torch.set_num_threads(1)
    cadence = ["train.log_every=384", "train.eval_every=900", "train.sample_every=1500", "train.checkpoint_every=1000"]
    assert main(["train", f"train.examples={EXAMPLES}", "model.hidden=[32]", *cadence, f"hydra.run.dir={folder}"]) == 0
    return folder


def accumulate(folder: Path) -> Any:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    return events


def test_tensorboard_shows_every_scalar_of_metrics_jsonl(run: Path) -> None:
    events, found = accumulate(run / "tensorboard"), records(run)
    assert len(found) >= 8
    tags = {key for record in found for key in record} - set(KEYS)
    assert {"train/loss", "eval/elbo", "test/elbo", "test/elbo_stderr", "throughput/images_per_second"} <= tags
    assert set(events.Tags()["scalars"]) == tags
    for tag in tags:
        expected = [(record["examples"], record[tag]) for record in found if tag in record]
        shown = [(event.step, event.value) for event in events.Scalars(tag)]
        assert [step for step, _ in shown] == [step for step, _ in expected]
        assert [value for _, value in shown] == pytest.approx([value for _, value in expected], rel=1e-6)


def test_tensorboard_shows_the_pictures_of_samples(run: Path) -> None:
    events = accumulate(run / "tensorboard")
    assert set(events.Tags()["images"]) == {"samples", "reconstructions"}
    read = [event for path in (run / "tensorboard").glob("events*") for event in EventFileLoader(str(path)).Load()]
    values = [value for event in read for value in event.summary.value if value.tag in events.Tags()["images"]]
    assert {(value.tag, value.metadata.summary_description) for value in values} == {
        (tag, caption(tag)) for tag in ("samples", "reconstructions")
    }
    for tag in ("samples", "reconstructions"):
        shown = events.Images(tag)
        assert len(shown) >= 2
        assert len({event.step for event in shown}) == len(shown)
        for event in shown:
            assert event.encoded_image_string == (run / "samples" / f"{tag}_{event.step:010d}.png").read_bytes()
            picture = Image.open(io.BytesIO(event.encoded_image_string))
            assert (picture.width, picture.height) == (event.width, event.height)
        newest = shown[-1].encoded_image_string
        assert newest == (run / "samples" / f"{tag}.png").read_bytes()


def test_a_film_shows_how_the_samples_came_to_be(run: Path) -> None:
    frames = sorted((run / "samples").glob("samples_*.png"))
    with Image.open(run / "samples" / "samples.gif") as film:
        assert film.n_frames == len(frames)  # type: ignore[attr-defined]
        for i, frame in enumerate(frames):
            film.seek(i)
            assert np.array_equal(np.asarray(film.convert("L")), np.asarray(Image.open(frame).convert("L")))


def test_the_picture_of_samples_is_a_hundred_magnified_digits(run: Path) -> None:
    picture = np.asarray(Image.open(run / "samples" / "samples.png").convert("RGB"))
    tiles = cut(picture, rows=10, columns=10, side=56)
    blocks = tiles.reshape(100, 8, 7, 8, 7, 3)
    assert (blocks == blocks[:, :, :1, :, :1, :1]).all()  # nearest neighbour, and grey
    assert tiles.min() < 40
    assert tiles.max() > 120


def test_tensorboard_shows_the_configuration_as_text(run: Path) -> None:
    events = accumulate(run / "tensorboard")
    assert events.SummaryMetadata("config").plugin_data.plugin_name == "text"
    text = events.Tensors("config")[0].tensor_proto.string_val[0].decode()
    assert yaml.safe_load(text.removeprefix("```yaml\n").removesuffix("\n```")) == yaml.safe_load(
        (run / "config.yaml").read_text()
    )


def test_the_layout_puts_a_term_beside_the_same_term_on_held_out_data(run: Path) -> None:
    events = accumulate(run / "tensorboard")
    layout = layout_pb2.Layout()
    layout.ParseFromString(events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
    charts = {chart.title: list(chart.multiline.tag) for category in layout.category for chart in category.chart}
    tags = events.Tags()["scalars"]
    for title, wanted in (
        ("loss", {"train/loss", "eval/loss", "test/loss"}),
        ("kl", {"train/kl", "eval/kl", "test/kl"}),
    ):
        assert {tag for tag in tags for pattern in charts[title] if re.match(pattern, tag)} == wanted
    for patterns in charts.values():  # no chart stays empty
        assert any(re.match(pattern, tag) for pattern in patterns for tag in tags)


def plugin_data(events: Any, tag: str) -> bytes:
    data = events.SummaryMetadata(tag).plugin_data
    assert data.plugin_name == hparams_metadata.PLUGIN_NAME
    content = data.content
    assert isinstance(content, bytes)
    return content


def test_the_hyperparameters_of_a_run_are_in_the_hparams_table(run: Path) -> None:
    events = accumulate(run / "tensorboard")
    start = hparams_metadata.parse_session_start_info_plugin_data(
        plugin_data(events, hparams_metadata.SESSION_START_INFO_TAG)
    )
    shown = {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()}
    assert shown["model.mc_samples"] == 1
    assert shown["train.examples"] == EXAMPLES
    assert shown["optimizer.schedule"] == "cosine"
    assert shown["device.compile"] is False
    assert shown["train.epochs"] == "null"
    end = hparams_metadata.parse_session_end_info_plugin_data(
        plugin_data(events, hparams_metadata.SESSION_END_INFO_TAG)
    )
    assert end.end_time_secs >= start.start_time_secs > 0
    assert end.status == 1  # success


def test_hyperparameters_are_flat_and_leave_out_what_is_none() -> None:
    config = {"seed": 1, "model": {"hidden": [3, 4], "sub": {"deep": None}}, "preferred": {"lr": {"adam": 1.0}}}
    flat = parameters(config)
    assert flat == {"seed": 1, "model.hidden": "[3, 4]", "model.sub.deep": "null"}


def columns(folder: Path) -> dict[str, bool]:
    """Columns of the HPARAMS table as TensorBoard finds them -> whether the runs below `folder` differ in them."""
    runs = EventMultiplexer().AddRunsFromDirectory(str(folder))
    runs.Reload()
    backend = BackendContext(TBContext(data_provider=MultiplexerDataProvider(runs, str(folder))))
    found = backend.hparams_metadata(RequestContext(), "")
    experiment = backend.experiment_from_metadata(RequestContext(), "", True, found, [])
    assert "test/loss" in {metric.name.tag for metric in experiment.metric_infos}
    return {column.name: column.differs for column in experiment.hparam_infos}


@pytest.mark.parametrize("clip", [[0.5, 1], ["null", 1.0], ["null", True], ["[20]", 3], [True, False]])
def test_the_hparams_table_has_the_keys_of_all_sweeps(tmp_path: Path, clip: list[Any]) -> None:
    jobs: list[dict[str, Any]] = [{"model": "vae", "model.beta": 1}, {"model": "vae", "model.beta": 4}]
    jobs += [{"model": "ae", "optimizer.clip": value} for value in clip]
    for k, job in enumerate(jobs):
        writer = EventWriter(tmp_path / f"sweep_{k // 2}" / f"{k % 2}_job" / "tensorboard")
        writer.hparams({**job, "seed": 0}, f"job {k}")
        writer.scalars({"test/loss": 1.0}, 10)
        writer.close()
    differing = {"model": True, "model.beta": True, "optimizer.clip": True, "seed": False}
    assert columns(tmp_path) == differing
    assert columns(tmp_path / "sweep_0") == {"model": False, "model.beta": True, "seed": False}
    assert columns(tmp_path / "sweep_1") == {"model": False, "optimizer.clip": True, "seed": False}


def test_two_runs_are_two_lines_of_the_hparams_table(tmp_path: Path) -> None:
    trials = set()
    for folder in ("sweep_0/0_beta-1", "sweep_0/1_beta-4", "sweep_1/0_beta-1"):
        run = RunFolder(tmp_path / folder)
        Tracker(run, {"seed": 0, "name": "betas"}, None).events.close()
        content = plugin_data(accumulate(run.tensorboard), hparams_metadata.SESSION_START_INFO_TAG)
        trials.add(hparams_metadata.parse_session_start_info_plugin_data(content).group_name)
    assert len(trials) == 3
    assert all("betas" in trial for trial in trials)


def test_a_resumed_log_keeps_what_was_known_at_the_checkpoint_and_forgets_what_lay_beyond(tmp_path: Path) -> None:
    first = EventWriter(tmp_path)
    for step in (100, 200, 300):
        first.scalars({"loss": float(step)}, step)
    first.close()
    second = EventWriter(tmp_path, resume_step=200)  # the record of step 200 was written before the checkpoint
    second.scalars({"loss": 3.0}, 300)
    second.close()
    assert [(e.step, e.value) for e in accumulate(tmp_path).Scalars("loss")] == [(100, 100.0), (200, 200.0), (300, 3.0)]


def test_a_sequence_of_writers_appends(tmp_path: Path) -> None:
    for number in range(12):
        writer = EventWriter(tmp_path)
        writer.scalars({"loss": 0.5 * number}, number)
        writer.flush()
        assert accumulate(tmp_path).Scalars("loss")[-1].value == 0.5 * number  # on disk without closing
        writer.close()
    assert [event.step for event in accumulate(tmp_path).Scalars("loss")] == list(range(12))


# Figures


def spec(shape: tuple[int, ...], support: Support = "unit", low: float = 0.0, high: float = 1.0) -> DataSpec:
    return DataSpec("test", shape, support, None, None, low, high, torch.zeros(shape), torch.ones(shape))


def cut(picture: Picture, rows: int, columns: int, side: int) -> Picture:
    """The tiles of a grid, (rows * columns, side, side, 3), once its gaps are known to be empty."""
    step = side + GAP
    assert picture.shape == (rows * step + GAP, columns * step + GAP, 3)
    inside = np.zeros(picture.shape[:2], dtype=bool)
    tiles = []
    for i in range(rows):
        for j in range(columns):
            window = slice(GAP + i * step, (i + 1) * step), slice(GAP + j * step, (j + 1) * step)
            inside[window] = True
            tiles.append(picture[window])
    assert (picture[~inside] == BACKGROUND).all()
    return np.stack(tiles)


def test_a_grid_shows_each_pixel_as_a_block_of_its_value() -> None:
    images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    tiles = cut(grid(images, 3, spec((1, 8, 8))), 2, 3, TILE)
    blocks = tiles.reshape(6, 8, 7, 8, 7, 3)
    expected = (images[:, 0] * 255).round().numpy()
    assert (blocks == expected[:, :, None, :, None, None]).all()


def test_a_grid_covers_the_same_range_whatever_the_images() -> None:
    data = spec((1, 8, 8))
    faint = torch.full((1, 1, 8, 8), 0.2)
    alone, beside = grid(faint, 1, data), grid(torch.cat([faint, torch.ones(1, 1, 8, 8)]), 2, data)
    assert (cut(alone, 1, 1, TILE)[0] == 51).all()
    assert (cut(beside, 1, 2, TILE)[0] == 51).all()
    wild = torch.tensor([-3.0, 7.0]).reshape(2, 1, 1, 1).expand(2, 1, 8, 8)
    assert [tile.mean() for tile in cut(grid(wild, 2, data), 1, 2, TILE)] == [0, 255]


def test_a_grid_of_real_images_covers_the_range_of_the_training_data() -> None:
    data = spec((1, 8, 8), "real", -2.0, 2.0)
    images = torch.tensor([-2.0, 0.0, 2.0, 5.0]).reshape(4, 1, 1, 1).expand(4, 1, 8, 8)
    tiles = cut(grid(images, 4, data), 1, 4, TILE)
    assert [int(tile.max()) for tile in tiles] == [0, 128, 255, 255]


def test_a_grid_keeps_colours_and_large_pictures_and_fills_up_the_last_row() -> None:
    images = torch.zeros(3, 3, 64, 64)
    images[:, 0] = 1.0  # red
    tiles = cut(grid(images, 2, spec((3, 64, 64))), 2, 2, 64)
    assert (tiles[:3] == [255, 0, 0]).all()
    assert (tiles[3] == BACKGROUND).all()


@pytest.mark.parametrize(("n", "columns", "rows", "shown"), [(6, 3, 4, 3), (4, 10, 2, 4), (7, 3, 4, 3)])
def test_pairs_put_each_row_above_its_reconstructions(n: int, columns: int, rows: int, shown: int) -> None:
    originals = torch.arange(n).reshape(n, 1, 1, 1).expand(n, 1, 8, 8) / 10
    tiles = cut(pairs(originals, originals + 0.3, columns, spec((1, 8, 8))), rows, shown, TILE)
    values = (tiles[:, 0, 0, 0] / 255).reshape(rows // 2, 2, shown)
    assert np.allclose(values[:, 0].flatten(), np.arange(rows // 2 * shown) / 10, atol=0.01)
    assert np.allclose(values[:, 1] - values[:, 0], 0.3, atol=0.01)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_vectors_are_shown_in_planes(dim: int) -> None:
    generator = torch.Generator().manual_seed(0)
    data = spec((dim,), "real")
    points = torch.randn(50, dim, generator=generator)
    picture = scatter({"data": points, "samples": points + 1}, data)
    assert picture.ndim == 3
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10  # something is drawn
    assert not np.array_equal(picture, scatter({"data": points, "samples": points + 3}, data))


@pytest.mark.parametrize("dim", [1, 2, 3, 5, 6, 7, 20, 50])
def test_every_component_of_a_vector_is_shown(dim: int) -> None:
    planes = planes_of(dim)
    assert {i for plane in planes for i in plane} == set(range(min(dim, 20)))
    assert len(planes) == len(set(planes)) <= 10
    if 1 < dim <= 5:
        assert len(planes) == dim * (dim - 1) / 2, "all pairs"


@pytest.mark.parametrize("labels", [None, torch.arange(50) % 10])
def test_codes_are_shown_by_class(labels: Tensor | None) -> None:
    codes = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    colours = np.unique(latent_scatter(codes, labels).reshape(-1, 3), axis=0)
    saturated = colours.max(1).astype(int) - colours.min(1) > 60
    assert saturated.any()
    if labels is not None:
        assert len(colours) > 100


def test_a_png_holds_the_picture_itself(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(picture)))), picture)
    save_png(tmp_path / "new" / "folder" / "a.png", picture)
    assert (tmp_path / "new" / "folder" / "a.png").read_bytes() == png(picture)


# The console


def test_small_images_are_shown_as_characters() -> None:
    black, white = torch.zeros(1, 1, 4, 3), torch.ones(1, 1, 4, 3)
    lines = console.preview(torch.cat([black, white, white, black]), 2).plain.rstrip("\n").split("\n")
    assert len(lines) == 4  # two rows of pictures, two pixels to a line
    assert [line.rstrip() for line in lines] == ["     @@@", "     @@@", "@@@", "@@@"]


def test_the_characters_darken_with_the_value_and_values_beyond_the_range_are_cut() -> None:
    ramp = torch.linspace(0, 1, 10).reshape(1, 1, 1, 10).expand(1, 1, 3, 10)
    text = console.preview(torch.cat([ramp, 9 * ramp - 4]), 1).plain
    assert text.startswith(" .:-=+*#%@")
    assert len(text.split("\n")) >= 4  # an odd number of rows is shown to the last one


# The run folder


def test_logs_are_cut_back_to_what_a_checkpoint_knew(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.tensorboard.mkdir()
    known, unknown = (run.tensorboard / f"events.out.tfevents.{i}.genlab" for i in range(2))
    run.record({"examples": 1, "train/loss": 0.5})
    known.write_bytes(b"first")
    sizes = run.log_sizes()
    before = run.metrics.read_bytes()
    run.record({"examples": 2, "train/loss": 0.25})
    known.write_bytes(b"first and more")
    unknown.write_bytes(b"later")
    (run.tensorboard / "notes.txt").write_text("the user's own")
    run.cut_logs(sizes)
    assert run.metrics.read_bytes() == before
    assert known.read_bytes() == b"first"
    assert not unknown.exists()
    assert (run.tensorboard / "notes.txt").read_text() == "the user's own"
    run.cut_logs(sizes)  # twice is once
    assert run.metrics.read_bytes() == before
    run.cut_logs({})
    assert not run.metrics.exists()
    assert not known.exists()


def test_facts_are_added_to_run_json(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert run.info() == {}
    run.note(state="running", seed=3)
    run.note(state="finished", results={"a": {"value": 1.0}})
    assert info(tmp_path) == {"state": "finished", "seed": 3, "results": {"a": {"value": 1.0}}}
    (tmp_path / "run.json").write_text("{ damaged")
    assert run.info() == {}
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]

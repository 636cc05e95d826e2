"""The folder that an export leaves: written beside its place first, so that a folder is there whole or not at all."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from genlab import __version__
from genlab.config.schema import family_of
from genlab.errors import GenlabError
from genlab.experiment.opening import TrainedRun
from genlab.export.card import PRIVATE, about_model, card
from genlab.export.program import Program
from genlab.export.programs import program_of
from genlab.export.tracing import compiled
from genlab.networks.choices import settled
from genlab.tracking.untrusted import read_json

CONTENT = {"model.safetensors", "model.pt2", "prior.pt2", "codes.safetensors", "config.json", "CARD.md", "samples.png"}
"""Files of an export."""


def check_folder_of_export(folder: Path, overwrite: bool) -> None:
    """Raises GenlabError where `folder` holds something: an export without `overwrite`, or anything else in any case."""
    if folder.exists() and not folder.is_dir():
        raise GenlabError(f"folder={folder} is a file; name a folder")
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if others := sorted(found - CONTENT):
        raise GenlabError(f"folder={folder} holds {others[0]}, which is of no export; name a folder of its own")
    if found and not overwrite:
        raise GenlabError(f"folder={folder} holds an export already; add overwrite=true, or name another folder")


def export(opened: TrainedRun, folder: Path) -> list[Path]:
    """Write the model of a run into `folder`; returns the files. The model is on the CPU."""
    model, config, run = opened.model.requires_grad_(False), opened.experiment.config, opened.run
    with torch.no_grad():
        program = program_of(model)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        save_file(tensors_of(model), partial / "model.safetensors")
        fixed = None
        if program is not None:
            fixed = _save(program, model, partial / "model.pt2")
            for name, other in program.beside.items():
                _save(other, model, partial / f"{name}.pt2")
            if program.codes is not None:
                save_file({"h": program.codes.contiguous()}, partial / "codes.safetensors")
        picture = run.samples / "samples.png"
        if picture.is_file():
            shutil.copyfile(picture, partial / "samples.png")
        described = _description(opened, program, fixed)
        (partial / "config.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
        for file in partial.iterdir():  # safetensors are written for their owner alone
            file.chmod((partial / "config.json").stat().st_mode)
        text = card(
            _name(opened),
            model.data,
            settled(config["model"], model),
            config,
            _protocol(opened),
            _measures(opened),
            program,
            fixed=fixed,
            picture=picture.is_file(),
            about=about_model(model),
        )
        (partial / "CARD.md").write_text(text, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return sorted(folder.iterdir())


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Name -> parameter or buffer, each with memory of its own as safetensors ask for."""
    state = model.state_dict()
    return {
        name: value.detach().cpu().contiguous().clone() for name, value in state.items() if "_extra_state" not in name
    }


def _save(program: Program, model: nn.Module, path: Path) -> int | None:
    traced, fixed = compiled(program, model)
    torch.export.save(traced, path)
    return fixed


def _name(opened: TrainedRun) -> str:
    return family_of(type(opened.model).__name__)


def _description(opened: TrainedRun, program: Program | None, fixed: int | None) -> dict[str, Any]:
    """The content of config.json."""
    data = opened.model.data
    keys = {key: value for key, value in opened.experiment.config["model"].items() if key not in PRIVATE}
    found: dict[str, Any] = {
        "model": _name(opened),
        "settings": settled(keys, opened.model),
        "data": {
            "name": data.name,
            "shape": list(data.shape),
            "support": data.support,
            "levels": data.levels,
            "num_classes": data.num_classes,
            "class_names": data.class_names,
            "component_names": data.component_names,
            "units": None
            if data.units is None
            else {"shift": data.units.shift.tolist(), "scale": data.units.scale.tolist()},
        },
        "versions": {"genlab": __version__, "torch": torch.__version__},
    }
    if program is not None:
        found["program"] = {
            "kind": program.kind,
            "n": fixed,
            "inputs": {name: meaning for name, (_, meaning) in program.inputs.items()},
            "outputs": program.outputs,
            "settings": program.settings,
        }
    return found


def _protocol(opened: TrainedRun) -> dict[str, Any]:
    """How the run was trained, without what belongs to this machine."""
    config, info = opened.experiment.config, opened.run.info()
    optimizer, train = config["optimizer"], config["train"]
    versions = info.get("versions") if isinstance(info.get("versions"), Mapping) else {}
    state = {"best": "the lowest validation loss", "last": "the end of the training"}[opened.which]
    if info.get("state") != "finished":
        state = "the last checkpoint of a training that has not finished" if opened.which == "last" else state
    clip = f", gradients clipped to {optimizer['clip']:g}" if optimizer.get("clip") else ""
    algorithm = str(optimizer.get("_target_", "")).rpartition(".")[2]
    closed = opened.model.closed_form
    return {
        "examples seen": f"{opened.examples:,}",
        "state": state,
        "batch size": train["batch_size"],
        "optimizer": None if closed else f"{algorithm}, rate {optimizer['lr']:g}, {optimizer['schedule']}{clip}",
        "seed": config["seed"],
        "parameters": f"{opened.model.size:,}",
        "genlab": dict(versions or {}).get("genlab"),
        "PyTorch": dict(versions or {}).get("torch"),
    }


def _measures(opened: TrainedRun) -> dict[str, Any]:
    """Those of `genlab evaluate`, or else those of the end of the training."""
    try:
        found = read_json(opened.run.path / "metrics.json")
    except FileNotFoundError:
        found = opened.run.info().get("results")
    if not isinstance(found, dict):
        return {}
    units = {name: quantity.unit for name, quantity in opened.model.quantities.items()}
    named = {str(name).removeprefix("test/"): entry for name, entry in found.items() if isinstance(entry, dict)}
    return {name: {"unit": units.get(name), **entry} for name, entry in named.items()}

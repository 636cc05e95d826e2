"""The runner: the only consumer of a training loop.

A model yields after each complete update; everything else (rates, logging, evaluation, samples, checkpoints, stopping)
happens here, between two yields. Cadence counts examples seen. Nothing here draws from the training's random stream.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from genlab.config.schema import differing_keys
from genlab.data.batches import Batches, in_order
from genlab.data.dataset import Dataset, Examples
from genlab.errors import GenlabError, InterruptedRun, NonFiniteError
from genlab.evaluation import diagnoses
from genlab.inference import pictures
from genlab.inference.mixing import mixing
from genlab.models.abilities import HasMarkovChain, Monitors
from genlab.models.base import Metrics, Model, evaluation_mode
from genlab.numerics import rng
from genlab.optimizers.recipe import set_rate
from genlab.tracking.console import ProgressReport, console
from genlab.tracking.run_folder import RunFolder
from genlab.tracking.tracker import Tracker
from genlab.training import checkpoint
from genlab.training.cuda_graphs import plain_state, updates_of
from genlab.training.devices import Device
from genlab.training.length import Training
from genlab.training.signals import StopRequest

EVALUATION_BATCH = 500
MONITORED = 500  # examples of each split of which a model tells its state
WARN_FROM = 0.3  # of the training: before, a model may be excused


class Loop:
    """Trains `model` on `dataset` (both on the device already) in the run folder `run`, from its last checkpoint if any."""

    def __init__(
        self,
        model: Model,
        dataset: Dataset,
        training: Training,
        device: Device,
        run: RunFolder,
        config: Mapping[str, Any],
        examples: int,
    ) -> None:
        self.model, self.dataset, self.device, self.run, self.config = model, dataset, device, run, config
        self.seed: int = config["seed"]
        self.where = device.resolve()
        self.batches = Batches(
            dataset.train,
            dataset.represent,
            batch_size=training.batch_size,
            examples=examples,
            seed=self.seed,
            device=self.where,
            cut_last=model.closed_form,
            labelled_beside=model.labelled_beside,
        )
        self.every = training.cadence(len(dataset.train), examples)
        self.window: list[Metrics] = []
        self.best, self.best_at = float("inf"), 0
        self.validation_loss = float("nan")  # the newest
        self.seconds = 0.0  # of earlier sessions of this run
        self.began = time.perf_counter()
        self.stop = StopRequest()
        self.warnings = {w["name"]: w for w in run.info().get("warnings", [])}
        resumed_at = None
        if run.last.exists():
            resumed_at = self._restore()
        else:
            run.cut_logs({})  # of a run that was killed before its first checkpoint
        self.tracker = Tracker(run, config, resumed_at, model.layout())
        self._lap = (time.perf_counter(), self.batches.seen)

    def fit(self) -> dict[str, tuple[float, float]]:
        """Train to the end and evaluate; returns the final measures, each with its standard error.

        Raises InterruptedRun after a checkpoint on SIGINT or SIGTERM, NonFiniteError where training diverges, OSError where
        the run folder cannot be written.
        """
        title = f"{type(self.model).__name__} on {self.dataset.spec.name}"
        with (
            self.stop,
            self.tracker,
            ProgressReport(title, self.batches.examples, self.batches.seen) as self.progress,
        ):
            self.model.train()
            updates = updates_of(self.model, self.batches, self.device)
            before = self.batches.seen
            self._set_rates()
            while (metrics := self._next(updates)) is not None:
                self.window.append(metrics)
                self._set_rates()
                self._between(before, self.batches.seen)
                before = self.batches.seen
            return self._finish()

    def _set_rates(self) -> None:
        for optimizer in self.model.optimizers.values():
            set_rate(optimizer, self.batches.progress)

    def _next(self, updates: Iterator[Metrics]) -> Metrics | None:
        with self.device.autocast():
            return next(updates, None)

    def _between(self, before: int, seen: int) -> None:
        """Everything that is due between two updates, after which `before` and `seen` examples had been seen."""
        self.progress.at(seen)
        due = {name for name, every in self.every.items() if seen // every > before // every}
        if seen >= self.batches.examples:
            due -= {"eval", "sample", "checkpoint"}  # the end does them all
        if due:
            values: dict[str, float] = {}
            if "log" in due:
                values |= self._training_scalars()
            if "eval" in due and self.dataset.validation is not None:
                values |= self._validate(self.dataset.validation)
            if "sample" in due:
                self._show(values)
            self.tracker.record(values, seen, self.batches.epoch, self.elapsed())
            if "eval" in due or "sample" in due:
                self._lap = (time.perf_counter(), seen)
        if self.stop.number is not None or "checkpoint" in due:
            self.save()
        if self.stop.number is not None:
            raise InterruptedRun(
                f"{self.stop.name} at {seen:,} of {self.batches.examples:,} examples; "
                f"all is saved: genlab resume {self.run.path}",
                self.stop.number,
            )

    def _finish(self) -> dict[str, tuple[float, float]]:
        self.save()
        values = self._training_scalars() if self.window else {}
        results: dict[str, tuple[float, float]] = {}
        if self.dataset.validation is not None:
            values |= self._validate(self.dataset.validation)
        for name, value in self.evaluate(self.dataset.test).items():
            results[f"test/{name}"] = value
            values[f"test/{name}"] = value[0]
            values[f"test/{name}_stderr"] = value[1]
        self._show(values)
        self.tracker.film("samples")  # of the same noise, so that one sees how the samples change
        self.tracker.record(values, self.batches.seen, self.batches.epoch, self.elapsed())
        return results

    def _show(self, values: dict[str, float]) -> None:
        """Pictures, histograms of the parameters, how chains mix (added to `values`), warnings."""
        if isinstance(self.model, HasMarkovChain):
            found = mixing(self.model, self.dataset, self.seed)
            values |= {f"monitor/{name}": measure.value for name, measure in found.items()}
        samples = pictures.fixed_samples(self.model, self.seed, self.dataset)
        for name, picture in pictures.pictures(self.model, self.dataset, self.seed, samples).items():
            self.tracker.picture(name, picture, self.batches.seen)
        self.tracker.histograms(self.model.named_parameters(), self.batches.seen)
        if self.batches.progress >= WARN_FROM:
            self._warn(values, samples)

    def _warn(self, values: Mapping[str, float], samples: Tensor | None) -> None:
        """Print each diagnosis once, when it is first made, and note it in run.json."""
        for diagnosis in diagnoses.while_training(self.model, self.dataset, self.seed, values, samples):
            if diagnosis.name not in self.warnings:
                self.warnings[diagnosis.name] = {**diagnosis.as_dict(), "examples": self.batches.seen}
                self.run.note(warnings=list(self.warnings.values()))
                console.print(f"warning at {self.batches.seen:,} examples: {diagnosis}", style="yellow", markup=False)

    def elapsed(self) -> float:
        """Seconds spent on this run, over all its sessions."""
        return self.seconds + time.perf_counter() - self.began

    def _training_scalars(self) -> dict[str, float]:
        """Means over the updates since the last record, and the state of the optimizers."""
        means = {name: torch.stack([m[name].float() for m in self.window]).mean() for name in self.window[0]}
        values = {f"train/{name}": float(value) for name, value in means.items()}
        self._refuse_nonfinite(values)
        for name, optimizer in self.model.optimizers.items():
            values[f"optimizer/{name}/learning_rate"] = float(optimizer.param_groups[0]["lr"])
            values[f"optimizer/{name}/gradient_norm"] = float(self.model.gradient_norm(name))
        values |= self._monitor()
        now, seen = time.perf_counter(), self.batches.seen
        values["throughput/images_per_second"] = (seen - self._lap[1]) / max(now - self._lap[0], 1e-9)
        self._lap = (now, seen)
        self.window.clear()
        self.progress.losses(
            {name.removeprefix("train/"): v for name, v in values.items() if name.startswith("train/")}
        )
        return values

    def _monitor(self) -> dict[str, float]:
        """What the model tells of its state, from the first examples of the training and the validation split."""
        if not isinstance(self.model, Monitors):
            return {}

        def first(split: Examples) -> Tensor:
            return next(in_order(split, self.dataset.represent, batch_size=MONITORED, device=self.where)).x

        with evaluation_mode(self.model), rng.seeded(self.seed, "monitor", device=self.where):
            held_out = None if self.dataset.validation is None else first(self.dataset.validation)
            found = self.model.monitor(first(self.dataset.train), held_out)
        values = {f"monitor/{name}": float(value) for name, value in found.items()}
        self._refuse_nonfinite(values)
        return values

    def _refuse_nonfinite(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            if not -float("inf") < value < float("inf"):
                kept = f"the last good state is {self.run.last}" if self.run.last.exists() else "nothing was saved yet"
                raise NonFiniteError(
                    f"{name} became {value} within {self.every['log']:,} examples before example {self.batches.seen:,}"
                    f"{self._origin()}; "
                    f"lower optimizer.lr (is {self.config['optimizer']['lr']}) or set optimizer.clip=1; {kept}"
                )

    def _origin(self) -> str:
        """Which parameter, or which gradient, is the first that is not finite."""
        for name, parameter in self.model.named_parameters():
            if not bool(parameter.detach().isfinite().all()):
                return f" (the first parameter that is not finite: {name})"
        for name, parameter in self.model.named_parameters():
            if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
                return f" (the first gradient that is not finite: that of {name})"
        return " (parameters and gradients are finite)"

    def _validate(self, split: Examples) -> dict[str, float]:
        values = {f"eval/{name}": mean for name, (mean, _) in self.evaluate(split).items()}
        self._refuse_nonfinite(values)
        self.validation_loss = values.get("eval/loss", float("nan"))
        if self.validation_loss < self.best:
            self.best, self.best_at = self.validation_loss, self.batches.seen
            checkpoint.save(self.run.best, {**self._identity(), "examples": self.batches.seen, "eval": values})
        return values

    def evaluate(self, split: Examples) -> dict[str, tuple[float, float]]:
        """Mean and standard error over the examples of `split` of everything that the family measures."""
        collected: dict[str, list[Tensor]] = {}
        with evaluation_mode(self.model), rng.seeded(self.seed, "evaluate", device=self.where):
            for batch in in_order(split, self.dataset.represent, batch_size=EVALUATION_BATCH, device=self.where):
                for name, values in self.model.evaluate(batch).items():
                    collected.setdefault(name, []).append(values.detach())
        results = {}
        for name, parts in collected.items():
            values = torch.cat(parts).double() if self.where.type != "mps" else torch.cat(parts).cpu().double()
            stderr = float(values.std() / len(values) ** 0.5) if len(values) > 1 else float("nan")
            results[name] = (float(values.mean()), stderr)
        return results

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint needs so that the model can be built again without its data."""
        return {"config": self.config, "data": self.dataset.spec.state_dict(), "model": self.model.state_dict()}

    def save(self) -> None:
        """Write last.pt: all that lasts, at this point between two updates."""
        for name, parameter in self.model.named_parameters():
            if not bool(parameter.detach().isfinite().all()):
                raise NonFiniteError(
                    f"parameter {name} is not finite at example {self.batches.seen:,}; lower optimizer.lr "
                    f"(is {self.config['optimizer']['lr']}) or set optimizer.clip=1; checkpoints were left as they are"
                )
        self.tracker.flush()
        checkpoint.save(
            self.run.last,
            {
                **self._identity(),
                "optimizers": {name: plain_state(optimizer) for name, optimizer in self.model.optimizers.items()},
                "batches": self.batches.state_dict(),
                "random": rng.get_state(self.where),
                "window": [{k: v.cpu() for k, v in m.items()} for m in self.window],
                "best": [self.best, self.best_at],
                "seconds": self.elapsed(),
                "logs": self.run.log_sizes(),
            },
        )

    def _restore(self) -> int:
        """Go back to last.pt; returns the number of examples seen there. Raises GenlabError where it does not fit."""
        state = checkpoint.load(self.run.last)
        difference = differing_keys(state["config"], self.config)
        if difference:
            raise GenlabError(f"run={self.run.path} was trained with another configuration: {'; '.join(difference)}")
        self.model.load_state_dict(state["model"])
        for name, optimizer in self.model.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.batches.load_state_dict(state["batches"])
        rng.set_state(state["random"], self.where)
        self.window = [{k: v.to(self.where) for k, v in m.items()} for m in state["window"]]
        (self.best, self.best_at), self.seconds = state["best"], state["seconds"]
        self.run.cut_logs(state["logs"])
        return self.batches.seen

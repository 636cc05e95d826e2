"""Charts: classification, classes of samples, spectra, quality against cost. Arrays in, pictures out."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from genlab.metrics.estimate import Estimate
from genlab.metrics.rounding import plain, rounded
from genlab.numerics.work import spend
from genlab.plots.images import Picture

SECONDS_OF_CHART = 0.15  # nominal ones, nearly all of them matplotlib's


def drawn(paint: Callable[[Any], None], size: tuple[float, float], dpi: int = 110) -> Picture:
    """The figure of `size` (width, height in inches) that `paint` draws, in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    spend(SECONDS_OF_CHART)
    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    paint(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def confusion(matrix: Tensor, split: str, names: Sequence[str] = ()) -> Picture:
    """Counts (classes, classes), true class down and predicted class across, with the accuracy of each class at its side.

    `split` names where the examples come from, such as "test split", and `names` are those of the classes.
    """
    counts = matrix.numpy()
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    k = len(counts)

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        # Mistakes are rare: on a linear scale nothing but the diagonal would be seen.
        axes.imshow(
            np.sqrt(shares), cmap="Blues", vmin=0, vmax=1, aspect="auto"
        )  # squares would cut the names beside them
        if k <= 20:
            for i in range(k):
                for j in range(k):
                    if counts[i, j]:
                        colour = "white" if shares[i, j] > 0.4 else "black"
                        axes.text(j, i, f"{counts[i, j]}", ha="center", va="center", fontsize=8, color=colour)
            right = axes.secondary_yaxis("right")
            right.set_yticks(range(k), [f"{100 * shares[i, i]:.1f} %" for i in range(k)], fontsize=8)
            right.set_ylabel("accuracy of the class")
            _name_classes(axes, k, names)
            axes.set_yticks(range(k), names or None)
        total = 100 * np.trace(counts) / max(1, counts.sum())
        axes.set_title(f"{total:.2f} % of {counts.sum():,} right, {split}", fontsize=10)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")

    beside = 0.075 * max(map(len, names), default=0)  # inches of the names at the left
    return drawn(paint, (6.2 + beside, 5.2 + 0.6 * beside) if k <= 20 else (8, 7.4))


def _name_classes(axes: Any, k: int, names: Sequence[str]) -> None:
    """The classes along the horizontal axis, upright where their names are long."""
    upright = sum(map(len, names)) > 50 or max(map(len, names), default=0) > 60 / k
    turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if upright else {}
    axes.set_xticks(range(k), names or None, **turned)


def reliability_diagram(confidence: Tensor, accuracy: Tensor, count: Tensor, error: float, split: str) -> Picture:
    """Accuracy against confidence in bins (bins,), with the number of predictions in each; `split` as in `confusion`."""
    bins = len(count)
    conf, hits, number = confidence.numpy(), accuracy.numpy(), count.numpy()

    def paint(figure: Any) -> None:
        top, bottom = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
        top.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--", label="calibrated")
        filled = number > 0
        share = (hits * number + 0.5)[filled] / (number[filled] + 1)  # so that 0 of 2 has an error bar too
        spread = np.sqrt(share * (1 - share) / (number[filled] + 1))
        bars = np.stack([spread.clip(max=hits[filled]), spread.clip(max=1 - hits[filled])])  # an accuracy is in [0, 1]
        top.errorbar(conf[filled], hits[filled], yerr=bars.clip(min=0), fmt="o", markersize=4, capsize=2)
        top.set_ylabel("accuracy")
        top.set_ylim(-0.03, 1.03)
        top.set_title(f"expected calibration error {error:.4f}, {split}", fontsize=10)
        top.legend(loc="upper left")
        bottom.bar((np.arange(bins) + 0.5) / bins, number, width=0.9 / bins, color="0.5")
        _count_axis(bottom.yaxis, int(number.max()))
        bottom.set_xlabel("probability of the predicted class")
        bottom.set_ylabel("count")
        bottom.set_xlim(-0.02, 1.02)

    return drawn(paint, (5, 5.2))


def _count_axis(axis: Any, most: int) -> None:
    """A logarithmic axis of counts up to `most`, with powers of ten as ticks, or 1, 2 and 5 where these would be too few."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.axes.set_yscale("log")
    axis.axes.set_ylim(0.5, 2.0 * max(1, most))
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if most < 100 else (1,), numticks=6))
    axis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}" if y >= 1 else ""))
    axis.set_minor_locator(NullLocator())


def class_bars(generated: Tensor, real: Tensor, n: int, names: Sequence[str] = ()) -> Picture:
    """Share of each class among n samples, beside its share in the data; `names` are those of the classes."""
    k = len(generated)
    shares, real_shares = generated.numpy(), real.numpy()

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        place = np.arange(k)
        spread = np.sqrt(shares * (1 - shares) / n)
        axes.bar(place - 0.2, real_shares, 0.4, label="test split", color="0.6")
        axes.bar(place + 0.2, shares, 0.4, yerr=spread, capsize=2, label="generated", color="C0")
        if k <= 20:
            _name_classes(axes, k, names)
        axes.set_xlabel("class, as the feature network sees it")
        axes.set_ylabel("share")
        axes.set_ylim(0, 1.2 * max(shares.max(), real_shares.max()))  # room for the legend
        axes.legend(loc="upper center", ncols=2)

    return drawn(paint, (6.5, 3.6))


def spectrum(variances: Tensor, total: float, components: int) -> Picture:
    """Variances along the principal axes (q,) on a logarithmic scale, and the share of `total` that the first of them explain.

    `components` is the dimension of space; the variance that is left, spread evenly over the other axes, is the dashed line.
    """
    import matplotlib as mpl

    from genlab.plots.style import COLOURS, FAINT, SETTINGS

    kept = variances.detach().double().cpu().clamp_min(0).numpy()
    q, total = len(kept), max(total, 1e-300)
    share = np.concatenate([[0.0], kept.cumsum() / total])
    number = np.arange(1, q + 1)
    style = {"marker": "o", "markersize": 3.5 if q <= 64 else 0, "linewidth": 1.2}
    positive = kept > 1e-12 * total

    def paint(figure: Any) -> None:
        top, bottom = figure.subplots(2, 1, sharex=True)
        top.semilogy(number[positive], kept[positive], color=COLOURS[0], **style)
        rest = total - kept.sum()
        if components > q and rest > 1e-9 * total:
            noise = rest / (components - q)
            top.axhline(noise, color=FAINT, linestyle="--", linewidth=1)
            top.text(q + 0.4, noise, f"σ² = {noise:.3g}", ha="right", va="bottom", fontsize=8)
        top.set_ylabel("variance λᵢ along axis i")
        bottom.plot(np.arange(q + 1), 100 * share, color=COLOURS[1], **style)
        for line in (50, 90):
            reached = np.flatnonzero(share >= line / 100)
            if len(reached) and reached[0] > 1:
                bottom.plot([0, reached[0], reached[0]], [line, line, 0], color=FAINT, linestyle=":", linewidth=1)
                bottom.text(reached[0], 2, f" {reached[0]}", fontsize=8)
        beside = {"xytext": (0, 6), "textcoords": "offset points", "ha": "right", "fontsize": 8}
        bottom.annotate(f"{100 * share[-1]:.1f} %", (q, 100 * share[-1]), **beside)
        bottom.set_ylim(0, 112)
        bottom.set_yticks(range(0, 101, 20))
        bottom.set_xlim(0, q + 0.5)
        bottom.set_xlabel("number of principal axes i")
        bottom.set_ylabel("variance explained (%)")
        bottom.xaxis.get_major_locator().set_params(integer=True)

    with mpl.rc_context({**SETTINGS, "text.parse_math": True}):  # the logarithmic ticks are mathematics
        return drawn(paint, (4.2, 4.6), dpi=150)


def quality_against_cost(points: Sequence["Costed"], floor: Estimate) -> Picture:
    """FID against evaluations of the network for one sample, a line for each sampler, above that of real examples."""

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        for sampler in dict.fromkeys(point.sampler for point in points):
            mine = sorted((e for e in points if e.sampler == sampler), key=lambda e: e.evaluations)
            values, errors = [e.fid.value for e in mine], [e.fid.stderr for e in mine]
            axes.errorbar([e.evaluations for e in mine], values, errors, marker="o", capsize=2, label=sampler)
        axes.axhline(floor.value, color="0.5", linestyle="--", linewidth=1, label="real against real")
        positive = all(e.fid.value > 2 * e.fid.stderr for e in points)
        axes.set(xscale="log", yscale="log" if positive else "linear")
        axes.set(xlabel="evaluations of the network for a sample", ylabel="FID")
        most = max(e.evaluations for e in points)
        least = min(e.evaluations for e in points)
        ticks = [m * 10**k for k in range(5) for m in (1, 2, 5) if least <= m * 10**k <= 1.5 * most]
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.xaxis.minorticks_off()
        if positive:
            low, high = axes.get_ylim()
            heights = [m * 10.0**k for k in range(-4, 5) for m in (1, 2, 5) if low <= m * 10.0**k <= high]
            axes.set_yticks(heights, [f"{tick:g}" for tick in heights])
            axes.yaxis.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend()

    return drawn(paint, (6.4, 4.4))


def spreads(estimates: Mapping[str, Tensor]) -> Picture:
    """Histograms of estimates (draws, examples) about the mean over draws of their example, for each way of estimating."""
    import matplotlib as mpl

    from genlab.plots.style import COLOURS, SETTINGS

    about = {name: (values - values.mean(0)).double().flatten().numpy() for name, values in estimates.items()}
    draws = len(next(iter(estimates.values())))
    sizes = {name: float(values.std()) * (draws / (draws - 1)) ** 0.5 for name, values in about.items()}
    means = {name: values.double().mean(0) for name, values in estimates.items()}

    def paint(figure: Any) -> None:
        panels = figure.subplots(len(about), 1, sharex=True)
        reach = 3.5 * max(sizes.values()) or 1.0
        for axes, (name, values), hue in zip(np.atleast_1d(panels), about.items(), COLOURS, strict=False):
            axes.hist(values.clip(-reach, reach), bins=np.linspace(-reach, reach, 71), density=True, color=hue)
            mean = means[name]
            error = float(mean.std()) / len(mean) ** 0.5
            size, middle, wide = (plain(rounded(value)) for value in (sizes[name], float(mean.mean()), error))
            axes.set_title(f"{name}: standard deviation {size} nats, mean {middle} ± {wide}", fontsize=9, loc="left")
            axes.set_yticks([])
        axes.set_xlabel("estimate minus the mean of its example (nats)")

    with mpl.rc_context(SETTINGS):
        return drawn(paint, (5, 3.6), dpi=130)


class Costed(Protocol):
    @property
    def sampler(self) -> str: ...

    @property
    def evaluations(self) -> int: ...

    @property
    def fid(self) -> Estimate: ...


def labelled(picture: Picture, labels: list[str]) -> Picture:
    """A picture of as many rows of equal height as there are labels, each with its label at its left."""
    dpi, size, gap = 100, 8, 7
    height, width = picture.shape[:2]
    margin = 2 * gap + _width_of_text(labels, size, dpi)

    def paint(figure: Any) -> None:
        figure.set_layout_engine("none")
        axes = figure.add_axes((margin / (margin + width), 0, width / (margin + width), 1))
        axes.imshow(picture, interpolation="nearest", aspect="auto")
        axes.axis("off")
        for k, label in enumerate(labels):
            y = 1 - (k + 0.5) / len(labels)
            x = (margin - gap) / (margin + width)
            figure.text(x, y, label, ha="right", va="center", multialignment="right", fontsize=size, linespacing=1.0)

    return drawn(paint, ((margin + width) / dpi, height / dpi), dpi)


def _width_of_text(labels: Sequence[str], size: float, dpi: int) -> int:
    """Pixels of the widest of the labels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(dpi=dpi)
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [figure.text(0, 0, label, fontsize=size) for label in set(labels)]
    return math.ceil(max(text.get_window_extent(renderer).width for text in texts))


def optimal_discriminator(score: Callable[[Tensor], Tensor], x: Tensor, samples: Tensor) -> Picture:
    """D(x) = score(x) of a discriminator beside D* = p_r/(p_r + p_g), for data x (n, d) and samples (m, d), d = 1 or 2.

    p_r and p_g are kernel estimates (half the width of Scott's rule), so D* is blurred and means nothing where both are small.
    """
    from scipy.stats import gaussian_kde

    data, generated = x.double().numpy().T, samples.double().numpy().T
    both = np.concatenate([data, generated], 1)
    low, high = both.min(1), both.max(1)
    margin = 0.1 * (high - low) + 1e-9
    axes_of = [
        np.linspace(a - m, b + m, 400 if len(low) == 1 else 120) for a, b, m in zip(low, high, margin, strict=True)
    ]
    lattice = np.stack([part.ravel() for part in np.meshgrid(*axes_of)])
    found = score(torch.from_numpy(lattice.T).float()).numpy()
    try:
        p_r, p_g = (
            gaussian_kde(points, lambda kde: 0.5 * kde.scotts_factor())(lattice) for points in (data, generated)
        )
    except np.linalg.LinAlgError:  # all samples on one point or line have no density
        p_r = p_g = np.full(len(found), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        best = np.where(p_r + p_g > 1e-2 * np.nanmax(p_r + p_g), p_r / (p_r + p_g), np.nan)

    def line(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.plot(lattice[0], found, color="black", label="D(x)")
        axes.plot(lattice[0], best, color="tab:red", linestyle="--", label="$D^*(x) = p_r/(p_r + p_g)$")
        axes.axhline(0.5, color="0.7", linewidth=0.8)
        axes.set_xlabel("$x$")
        axes.set_ylim(0, 1)
        density = axes.twinx()
        for p, name, colour in ((p_r, "$p_r$", "tab:blue"), (p_g, "$p_g$", "tab:orange")):
            density.fill_between(lattice[0], p, alpha=0.2, color=colour, label=name)
        density.set_ylabel("density")
        handles = [*axes.get_legend_handles_labels()[0], *density.get_legend_handles_labels()[0]]
        names = [*axes.get_legend_handles_labels()[1], *density.get_legend_handles_labels()[1]]
        axes.legend(handles, names, loc="upper right", fontsize=8)

    def plane(figure: Any) -> None:
        for k, (values, name) in enumerate(((found, "D(x)"), (best, "$D^*(x) = p_r/(p_r + p_g)$"))):
            axes = figure.add_subplot(1, 2, k + 1)
            image = axes.pcolormesh(*axes_of, values.reshape(120, 120), cmap="RdBu_r", vmin=0, vmax=1, rasterized=True)
            axes.scatter(*data[:, :400], s=3, color="black", linewidths=0, alpha=0.5, label="data")
            axes.scatter(*generated[:, :400], s=3, color="tab:green", linewidths=0, alpha=0.5, label="samples")
            axes.set_title(name, fontsize=10)
            axes.set_xlabel("$x_1$")
            axes.set_ylabel("$x_2$")
        figure.axes[0].legend(loc="upper right", markerscale=3, fontsize=8)
        figure.colorbar(image, ax=figure.axes, shrink=0.8)

    return drawn(line if len(low) == 1 else plane, (6, 4) if len(low) == 1 else (10, 4.4))

"""What is seen in each picture of a run, by its name: for captions.md beside the pictures, PNG files and TensorBoard."""

from collections.abc import Mapping
from pathlib import Path

CAPTIONS = {
    "activations": "Probabilities p(h = 1|x) of the hidden units (columns) for test examples (rows), from 0 (black) to 1 "
    "(white). A column of one grey is a unit that says nothing of x.",
    "anomalies": "Test examples with the lowest and the highest scores, of both kinds: what the model takes for normal and for "
    "anomalous.",
    "anomaly": "Scores of normal and of anomalous examples, and how many anomalies are found (upwards) at each share of "
    "false alarms (to the right). A curve along the diagonal is chance.",
    "bands": "Mean and standard deviation of each band over examples and pixels, of test data and of samples.",
    "bound_estimates": "One-level estimates of the bound on log p(x) by two decompositions, about the mean of their example. "
    "Both have the same expectation. The consistency form compares noisy neighbours x_(t-1), x_t, x_(t+1), so it "
    "spreads more than the noise form.",
    "chain": "Each row is one sample, from the start of its chain (left) to the sample (right).",
    "chain_from_data": "Each row is a Markov chain that starts at a test example (left): after 1, 2, 5, 10, ... steps. A chain "
    "that stays at its start mixes badly.",
    "classes": "Share of each class among the samples, as a classifier of the data sees them, beside its share in the data.",
    "confusion": "True class down, predicted class across; counts of held-out examples. Mistakes lie beside the diagonal.",
    "denoising": "Test examples, the same with noise, and what the model makes of these.",
    "density": "Density of the model over the plane, beside the true one where it is known, with test data and samples.",
    "discriminator": "D(x), beside the best discriminator D* = p_r/(p_r + p_g) for the present samples. Where p_g = p_r both are "
    "1/2.",
    "efforts": "FID of samples against the number of evaluations of the network, by sampler.",
    "fantasies": "States of the persistent chains of the training, the fantasy particles. They look like data once the model "
    "does.",
    "filters": "Weights of each hidden unit, or principal axes, as images (grey is 0, white positive, black negative) or as "
    "curves.",
    "generate": "The images of real.png after the k Gibbs steps of an update. Training makes the two alike.",
    "inpainting": "Test examples without a half, three fillings, and the whole one: without the right half, and of images "
    "without the lower one too.",
    "interpolation": "Each row goes from one code to another; what lies between is decoded from points on the way. Of curves "
    "each panel is a way, from dark to light.",
    "latent": "Codes of test examples in a plane, coloured by class.",
    "learning_curves": "What this family looks at, against examples seen; what each panel shows is said below it.",
    "levels_above_resampled": "Rows share the noise of the levels next to the data; the levels named at the left are drawn anew.",
    "levels_below_resampled": "Rows share the noise of the upper levels; the levels named at the left are drawn anew.",
    "manifold": "Decoded grid over the plane of codes, equally spaced in probability: what each place of the plane means.",
    "neighbours": "Samples above the training examples nearest to them; curves over these. Equal pairs are known by heart.",
    "observables": "Distributions of lattice observables of the samples, beside those of Monte Carlo and what is exact.",
    "real": "Held-out images as the machine sees them: binary draws where grey values are probabilities.",
    "reconstructions": "Rows of test examples, each above its reconstructions; of curves the reconstruction over the data, "
    "of bands from the 0.5 % quantile of the data shown (black) to the 99.5 % one (white). For vectors: both as points in the "
    "planes of the components.",
    "reconstructions_by_components": "Test examples above their reconstructions from the first q principal components.",
    "reliability": "Accuracy against the predicted probability: on the dashed line a prediction of 80 % is right in 80 % of the "
    "cases.",
    "samples": "Samples of the model, from the same noise throughout the training. For vectors: as points, with test data over "
    "them. For curves: over each other beside test data, with mean and standard deviation, and below the first ones; the axes "
    "hold all that is drawn, and a line below says what is too far out. For bands: from the 0.5 % quantile of the test data "
    "(black) to the 99.5 % one (white).",
    "score": "Arrows of d log p/dx, the true ones and those of the model.",
    "spectrum": "Variance along each principal axis, and the share of the total that the first of them explain.",
    "sweep_curves": "Learning curves of all jobs of the sweep, a panel for each scalar. Where a panel has both, "
    "thick lines are validation and thin lines training.",
    "traversal": "Each row, or panel of curves, moves one latent axis from -3 to 3 standard deviations, with the others "
    "fixed.",
}


def caption(name: str) -> str:
    """What is seen in the picture `name`; empty for one that has no caption."""
    return CAPTIONS.get(name, "")


def write_captions(folder: Path, own: Mapping[str, str] | None = None) -> None:
    """captions.md: every picture of `folder` (the newest of its name) with its caption; `own` are those of one run."""
    texts = {**CAPTIONS, **(own or {})}
    pictures = [path for path in sorted(folder.glob("*.png")) if not path.stem[-10:].isdigit()]
    parts = [f"## {path.stem}\n\n![{path.stem}]({path.name})\n\n{texts.get(path.stem, '')}\n" for path in pictures]
    (folder / "captions.md").write_text("\n".join(parts), encoding="utf-8")

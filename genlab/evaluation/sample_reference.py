"""The real examples with which generated ones are compared, in a feature space, and the measures of this comparison."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from genlab.data.dataset import Dataset
from genlab.data.subsets import places
from genlab.data.truth import HasObservables
from genlab.evaluation.baseline import independent_components, training_examples
from genlab.evaluation.features import FeatureSpace
from genlab.evaluation.features.feature_network import grey
from genlab.metrics.classes import classes_reached, entropy, histogram, squared_distance, total_variation
from genlab.metrics.clusters import effective_number
from genlab.metrics.estimate import Estimate, mean
from genlab.metrics.frechet import fid
from genlab.metrics.kernels import CUBIC, Kernel, RowMeans, gaussian, median_distance, mmd, within
from genlab.metrics.manifolds import Manifold, manifold, quality
from genlab.metrics.memorisation import nearest
from genlab.numerics.rng import derive, seeded

MOST_REFERENCE = 10_000  # test examples that take part: the cost of comparing all pairs grows with the square
FEW_PAIRS = 2_000  # test examples between which the width of the Gaussian kernel is measured
NEIGHBOURS = 5  # k of the balls around examples
LEAST = 2 * NEIGHBOURS


@dataclass
class Reference:
    """Examples of the test split, and everything else with which several sets of generated examples are compared."""

    dataset: Dataset
    space: FeatureSpace
    n: int
    """Number of examples in the floor and the baseline, as many as are generated."""
    seed: int
    num_classes: int | None = field(init=False)

    def __post_init__(self) -> None:
        self.num_classes = self.dataset.spec.num_classes
        test = self.dataset.test
        index = self._chosen(len(test), min(MOST_REFERENCE, len(test)), "test")
        truth = self.dataset.truth
        if isinstance(truth, HasObservables) and len(truth.temperatures) > 1:
            self.num_classes = None  # temperatures are no property of one configuration; observables measure them
        self.labels = None if test.y is None or self.num_classes is None else test.y.cpu()[index]
        represent, device = grey(self.dataset), torch.device("cpu")
        self.train = training_examples(self.dataset.train)
        with seeded(self.seed, "reference", device=device):
            self.x = represent(torch.cat([test.take(part).cpu() for part in index.split(500)]))
            rows = self._chosen(len(self.train), min(self.n, len(self.train)), "floor")
            self.real_x = represent(self.train[rows])
            self.baseline_x = represent(independent_components(self.train, self.n))

    def _chosen(self, of: int, n: int, what: str) -> Tensor:
        if n == of:
            return torch.arange(of)
        return places(of, n, seed=derive(self.seed, "chosen", what)).sort().values

    @cached_property
    def features(self) -> Tensor:
        return self.space.features(self.x).double()

    @cached_property
    def manifold(self) -> Manifold:
        return manifold(self.features, NEIGHBOURS)

    @cached_property
    def kernels(self) -> dict[str, tuple[Kernel, RowMeans]]:
        """Kernel and its mean over the other real examples, for each real one."""
        few = self.features[places(len(self.features), FEW_PAIRS)]
        kernels = {"kid": CUBIC, "mmd": gaussian(median_distance(few), few.mean(0))}
        return {name: (kernel, within(self.features, kernel)) for name, kernel in kernels.items()}

    @cached_property
    def class_shares(self) -> Tensor:
        assert self.labels is not None
        assert self.num_classes is not None
        return histogram(self.labels, self.num_classes)

    @cached_property
    def classified(self) -> Estimate:
        """Accuracy of the feature network on the test examples."""
        assert self.labels is not None
        return mean((self.space.classes(self.features) == self.labels).double())

    @cached_property
    def floor(self) -> dict[str, Estimate]:
        """All measures of training examples in place of the generated ones: real against real."""
        return feature_measures(self, self.real_x).measures

    @cached_property
    def baseline(self) -> dict[str, Estimate]:
        """All measures of examples whose components are independent."""
        return feature_measures(self, self.baseline_x).measures

    def stored_train(self) -> Tensor:
        """All training examples as floats in the representation of the reference."""
        with seeded(self.seed, "reference", device=torch.device("cpu")):
            return grey(self.dataset)(self.train)


class FeatureMeasures(NamedTuple):
    measures: dict[str, Estimate]
    shares: Tensor | None
    """Of each class; None without classes."""
    effective: int
    """Number of independent examples whose shares of the classes scatter as much."""


def feature_measures(reference: Reference, x: Tensor, chain: Tensor | None = None) -> FeatureMeasures:
    """All measures of the features of examples x (n, *shape), of chains (n,) where samples of one chain are correlated."""
    features = reference.space.features(x).double()
    found: dict[str, Estimate] = {"fid": fid(reference.features, features, chain)}
    for name, (kernel, real_within) in reference.kernels.items():
        found[name] = mmd(reference.features, features, kernel, real_within, chain)
    found |= quality(reference.manifold, manifold(features, NEIGHBOURS), chain)
    if reference.labels is None or reference.num_classes is None:
        return FeatureMeasures(found, None, len(x))
    labels = _classes_of(reference, features)
    shares = histogram(labels, reference.num_classes)
    n = max(1, round(effective_number(one_hot(labels.cpu(), reference.num_classes), chain)))
    m = len(reference.labels)
    found["class_entropy"] = entropy(shares, n)
    found["classes_reached"] = classes_reached(shares, reference.class_shares, n)
    found["class_distance"] = total_variation(shares, reference.class_shares, n, m)
    found["squared_class_distance"] = squared_distance(shares, reference.class_shares, n, m)
    return FeatureMeasures(found, shares, n)


def _classes_of(reference: Reference, features: Tensor) -> Tensor:
    """As the feature network sees them; of vectors, the class of the nearest test example."""
    if reference.space.predicts_classes:
        return reference.space.classes(features)
    assert reference.labels is not None
    return reference.labels[nearest(features, reference.features).index]

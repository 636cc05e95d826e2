"""Classes of samples, the quality of a classification, and nearest neighbours among training and test examples."""

from functools import partial

import torch
from torch import Tensor

from genlab.metrics.classes import (
    accuracy_by_class,
    calibration_error,
    classes_reached,
    entropy,
    histogram,
    squared_calibration_error,
    squared_distance,
    total_variation,
)
from genlab.metrics.estimate import bootstrap, mean
from genlab.metrics.memorisation import memorisation, nearest
from tests.error_bars.study import Case, Measured

K = 10
EQUAL = torch.full((K,), 1 / K, dtype=torch.float64)
UNEQUAL = torch.tensor([0.3, 0.2, 0.15, 0.1, 0.08, 0.06, 0.05, 0.03, 0.02, 0.01], dtype=torch.float64)


REASONS = {
    "class_distance": "biased, as the output says; squared_class_distance is not",
    "squared_class_distance": "too wide at equality, as its page says; never too narrow",
    "squared_calibration_error": "too wide where the classifier is calibrated; never too narrow",
    "calibration_error": "biased, as the output says, with its floor; the squared one is not",
    "classes_reached": "all are reached in every repetition: nothing scatters",
    "nearest_test_distance": "the error of the samples alone: another test split of so few examples scatters too",
}


EQUALLY = REASONS | {
    "class_entropy": "of equal classes it scatters to one side, as chi squared does: covered too often"
}


def shares(of: Tensor, n: int, _: int) -> Measured:
    """Of n samples from the classes of 2,000 real examples."""
    generated, real = (histogram(of.multinomial(size, replacement=True), K) for size in (n, 2000))
    return {
        "class_entropy": entropy(generated, n),
        "class_distance": total_variation(generated, real, n, 2000),
        "squared_class_distance": squared_distance(generated, real, n, 2000),
        "classes_reached": classes_reached(generated, real, n),
    }


def truth_of_shares(of: Tensor) -> dict[str, float]:
    return {
        "class_entropy": float(-(of * of.log()).sum()),
        "class_distance": 0.0,
        "squared_class_distance": 0.0,
        "classes_reached": 1.0,
    }


def wrong_shares(n: int, _: int) -> Measured:
    real = histogram(EQUAL.multinomial(2000, replacement=True), K)
    generated = histogram(UNEQUAL.multinomial(n, replacement=True), K)
    return {
        "class_distance": total_variation(generated, real, n, 2000),
        "squared_class_distance": squared_distance(generated, real, n, 2000),
    }


def classifier(n: int, off: float, _: int) -> Measured:
    """Answers right with the probability of its confidence, or with another one that is `off` below."""
    confidence = 0.5 + 0.5 * torch.rand(n, dtype=torch.float64)
    right = torch.rand(n) < confidence - off
    labels = torch.randint(K, (n,))
    predictions = torch.where(right, labels, (labels + 1) % K)
    pairs = torch.stack([confidence, right.double()], 1)
    return {
        "calibration_error": bootstrap(lambda both: calibration_error(both[:, 0], both[:, 1]), pairs)[0],
        "squared_calibration_error": squared_calibration_error(confidence, right),
        "accuracy": mean(right),
        "accuracy_class_0": accuracy_by_class(labels, predictions, K)[0],
    }


def neighbours(n: int, n_test: int, _: int) -> Measured:
    """Samples that have memorised nothing, 3,000 training examples; all from one distribution."""
    train, test, x = (torch.randn(size, 4) for size in (3000, n_test, n))
    found = memorisation(nearest(x, train), nearest(x, test), len(train), len(test))
    return {
        "nearest_is_train": found.nearest_is_train,
        "nearest_train_distance": found.train_distance,
        "nearest_test_distance": found.test_distance,
    }


def rare(_: int) -> Measured:
    """A share near its end, such as copies or the accuracy of a good classifier."""
    return {"share of 0.5 %": mean((torch.rand(1000) < 0.005).double())}


def expected_share(n_test: int) -> dict[str, float]:
    return {"nearest_is_train": 3000 / (3000 + n_test)}


def of_classifier(off: float) -> dict[str, float]:
    return {
        "calibration_error": off,
        "squared_calibration_error": off**2,
        "accuracy": 0.75 - off,
        "accuracy_class_0": 0.75 - off,
    }


CASES = [
    *(
        Case(f"{n} of 10 equal classes", partial(shares, EQUAL, n), partial(truth_of_shares, EQUAL), EQUALLY)
        for n in (200, 5000)
    ),
    Case("1,000 of 10 unequal classes", partial(shares, UNEQUAL, 1000), partial(truth_of_shares, UNEQUAL), REASONS),
    Case(
        "1,000 with other shares than real ones",
        partial(wrong_shares, 1000),
        lambda: {
            "class_distance": float(0.5 * (UNEQUAL - EQUAL).abs().sum()),
            "squared_class_distance": float((UNEQUAL - EQUAL).square().sum()),
        },
    ),
    Case("calibrated, n = 1,000", partial(classifier, 1000, 0.0), partial(of_classifier, 0.0), REASONS),
    Case("10 % too confident, n = 1,000", partial(classifier, 1000, 0.1), partial(of_classifier, 0.1)),
    Case("500 samples, 500 test", partial(neighbours, 500, 500), partial(expected_share, 500)),
    Case("3,000 samples, 100 test", partial(neighbours, 3000, 100), partial(expected_share, 100), REASONS, most=100),
    Case("n = 1,000", rare, lambda: {"share of 0.5 %": 0.005}),
]

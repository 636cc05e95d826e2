"""Classes of samples, the quality of a classification, and nearest neighbours among training and test examples."""

from functools import partial

import torch
from torch import Tensor

from genlab.evaluation.held_out import _calibration
from genlab.metrics.classes import accuracy_by_class, classes_reached, entropy, histogram, total_variation
from genlab.metrics.estimate import mean
from genlab.metrics.memorisation import memorisation, nearest
from tests.error_bars.study import Case, Measured

K = 10
EQUAL = torch.full((K,), 1 / K, dtype=torch.float64)
UNEQUAL = torch.tensor([0.3, 0.2, 0.15, 0.1, 0.08, 0.06, 0.05, 0.03, 0.02, 0.01], dtype=torch.float64)


def shares(of: Tensor, n: int, _: int) -> Measured:
    """Of n samples from the classes of 2,000 real examples."""
    generated, real = (histogram(of.multinomial(size, replacement=True), K) for size in (n, 2000))
    return {
        "class_entropy": entropy(generated, n),
        "class_distance": total_variation(generated, real, n, 2000),
        "classes_reached": classes_reached(generated, real, n),
    }


def truth_of_shares(of: Tensor) -> dict[str, float]:
    return {"class_entropy": float(-(of * of.log()).sum()), "class_distance": 0.0, "classes_reached": 1.0}


def wrong_shares(n: int, _: int) -> Measured:
    found = shares(UNEQUAL, n, 0)
    real = histogram(EQUAL.multinomial(2000, replacement=True), K)
    generated = histogram(UNEQUAL.multinomial(n, replacement=True), K)
    return {"class_distance": total_variation(generated, real, n, 2000), "class_entropy": found["class_entropy"]}


def classifier(n: int, off: float, _: int) -> Measured:
    """Answers right with the probability of its confidence, or with another one that is `off` below."""
    confidence = 0.5 + 0.5 * torch.rand(n, dtype=torch.float64)
    right = torch.rand(n) < confidence - off
    labels = torch.randint(K, (n,))
    predictions = torch.where(right, labels, (labels + 1) % K)
    return {
        "calibration_error": _calibration(confidence, right),
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
    return {"calibration_error": off, "accuracy": 0.75 - off, "accuracy_class_0": 0.75 - off}


CASES = [
    *(
        Case(f"{n} of 10 equal classes", partial(shares, EQUAL, n), partial(truth_of_shares, EQUAL))
        for n in (200, 5000)
    ),
    Case("1,000 of 10 unequal classes", partial(shares, UNEQUAL, 1000), partial(truth_of_shares, UNEQUAL)),
    Case(
        "1,000 with other shares than real ones",
        partial(wrong_shares, 1000),
        lambda: {
            "class_distance": float(0.5 * (UNEQUAL - EQUAL).abs().sum()),
            "class_entropy": float(-(UNEQUAL * UNEQUAL.log()).sum()),
        },
    ),
    Case("calibrated, n = 1,000", partial(classifier, 1000, 0.0), partial(of_classifier, 0.0)),
    Case("10 % too confident, n = 1,000", partial(classifier, 1000, 0.1), partial(of_classifier, 0.1)),
    Case("500 samples, 500 test", partial(neighbours, 500, 500), partial(expected_share, 500)),
    Case("3,000 samples, 100 test", partial(neighbours, 3000, 100), partial(expected_share, 100), most=100),
    Case("n = 1,000", rare, lambda: {"share of 0.5 %": 0.005}),
]

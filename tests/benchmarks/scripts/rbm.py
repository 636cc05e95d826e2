"""python rbm.py FOLDER IMAGES: scikit-learn's BernoulliRBM of MNIST, 500 hidden units, batches of 100; writes it to a file."""

import sys
from pathlib import Path

import joblib  # type: ignore[import-untyped]
import numpy as np
from sklearn.neural_network import BernoulliRBM


def images_of(path: Path) -> "np.typing.NDArray[np.float32]":
    """Grey values in [0, 1] of an IDX file, (n, 784)."""
    pixels = np.frombuffer(path.read_bytes(), np.uint8, offset=16).reshape(-1, 784)
    return np.divide(pixels, 255, dtype=np.float32)


def main(folder: str, images: int) -> None:
    raw = Path(folder) / "MNIST" / "raw"
    train, test = images_of(raw / "train-images-idx3-ubyte")[:images], images_of(raw / "t10k-images-idx3-ubyte")
    machine = BernoulliRBM(n_components=500, learning_rate=0.1, batch_size=100, n_iter=1)
    machine.fit(train)
    print(f"test: pseudo-likelihood {machine.score_samples(test).mean():.2f}")
    joblib.dump(machine, "rbm.joblib")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

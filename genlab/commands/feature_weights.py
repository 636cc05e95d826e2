"""python -m genlab.commands.feature_weights [NAME ...]: make the weights in genlab/evaluation/features."""

import sys

import torch
from hydra import compose, initialize_config_module

from genlab.composition.resolvers import register
from genlab.config.schema import plain
from genlab.data.batches import in_order
from genlab.evaluation.features.feature_network import fit, grey
from genlab.evaluation.features.space import FOLDER, SHIPPED, encode
from genlab.experiment.experiment import Experiment


def main(names: list[str]) -> None:
    register()
    for name in names or SHIPPED:
        with initialize_config_module("genlab.conf", version_base="1.3"):
            config = plain(compose("train", ["model=classifier", f"dataset={name}", "device=cpu"]))
        dataset = Experiment(config).dataset
        network = fit(dataset, torch.device("cpu")).eval()
        right = [
            network.evaluate(b)["accuracy"]
            for b in in_order(dataset.test, grey(dataset), batch_size=500, device=network.device)
        ]
        path = FOLDER / f"{name}.safetensors"
        path.write_bytes(encode(network, dataset))
        print(f"{path}: {path.stat().st_size:,} bytes, test accuracy {float(torch.cat(right).mean()):.4f}")


if __name__ == "__main__":
    main(sys.argv[1:])

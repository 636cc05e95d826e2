"""CIFAR-10: 60,000 colour photographs, 32x32, in ten classes (Krizhevsky 2009).

The files are those of the archive's "python version", in torchvision's layout: a folder `cifar-10-batches-py` under
`root`, or under a folder `cifar10` there. torchvision checks them against their MD5s and decodes them.
"""

from typing import Any

import torch

from genlab.data.dataset import RawData
from genlab.data.download import DownloadError, complete, data_root, fetch, namesakes, not_found, unpack
from genlab.data.examples import Examples
from genlab.errors import GenlabError

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def cifar10(*, root: str | None) -> RawData:
    """Photographs of ten kinds of animals and vehicles: 50,000 for training, 10,000 for the test; (3, 32, 32)."""
    from torchvision.datasets import CIFAR10

    top = data_root(root)
    batches = CIFAR10.base_folder
    files = [name for name, _ in [*CIFAR10.train_list, *CIFAR10.test_list]] + [CIFAR10.meta["filename"]]
    places = [top, *namesakes(top, "cifar10")] + ([top.parent] if top.name == batches else [])
    found = complete(places, [f"{batches}/{file}" for file in files])
    place = [*found, *complete(places, [CIFAR10.filename]), top][0]
    try:
        if not found:
            archive = place / CIFAR10.filename
            fetch([CIFAR10.url], archive, CIFAR10.tgz_md5)
            unpack(archive, {f"{batches}/{file}": place / batches / file for file in files})
        train, test = (CIFAR10(place, train=train, download=False) for train in (True, False))
    except DownloadError as error:
        raise not_found("cifar10", place, [f"{batches}/ or {CIFAR10.filename}"], error) from error
    except (RuntimeError, OSError) as error:
        raise GenlabError(
            f"dataset=cifar10: {place / batches} is damaged or unreadable ({error}); "
            "delete it so that it is fetched again, or copy it anew"
        ) from error
    return RawData("cifar10", _examples(train), _examples(test), levels=256, num_classes=10, class_names=NAMES)


def _examples(published: Any) -> Examples:
    images = torch.from_numpy(published.data).permute(0, 3, 1, 2).contiguous()
    return Examples(images, torch.tensor(published.targets, dtype=torch.int64))

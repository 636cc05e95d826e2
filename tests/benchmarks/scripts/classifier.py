"""python classifier.py FOLDER IMAGES: convolutions with the sizes of genlab's, in batches of 128; writes the parameters."""

import sys

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 32, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(128 * 9, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def main(folder: str, images: int) -> None:
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    train = Subset(datasets.MNIST(folder, train=True, transform=transform), range(images))
    test = datasets.MNIST(folder, train=False, transform=transform)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    total = 0.0
    for x, y in DataLoader(train, batch_size=128, shuffle=True):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(x)
    print(f"train: {total / len(train):.4f}")
    model.eval()
    loss_of_test, right = 0.0, 0
    with torch.no_grad():
        for x, y in DataLoader(test, batch_size=128):
            logits = model(x)
            loss_of_test += F.cross_entropy(logits, y, reduction="sum").item()
            right += int((logits.argmax(1) == y).sum())
    print(f"test: {loss_of_test / len(test):.4f}, accuracy {right / len(test):.4f}")
    torch.save(model.state_dict(), "classifier.pt")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

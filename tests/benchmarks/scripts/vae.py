"""python vae.py FOLDER IMAGES: a VAE 784-400-20 of MNIST, batches of 128; writes parameters and a picture of 64 samples."""

import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms
from torchvision.utils import save_image


class VAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc21, self.fc22 = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
        self.fc3, self.fc4 = nn.Linear(20, 400), nn.Linear(400, 784)

    def decode(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def loss(self, x: Tensor) -> Tensor:
        x = x.view(-1, 784)
        h = F.relu(self.fc1(x))
        mu, log_var = self.fc21(h), self.fc22(h)
        restored = self.decode(mu + torch.exp(0.5 * log_var) * torch.randn_like(mu))
        bce = F.binary_cross_entropy(restored, x, reduction="sum")
        return bce - 0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())


def main(folder: str, images: int) -> None:
    to_tensor = transforms.ToTensor()
    train = Subset(datasets.MNIST(folder, train=True, transform=to_tensor), range(images))
    test = datasets.MNIST(folder, train=False, transform=to_tensor)
    model = VAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    total = 0.0
    for x, _ in DataLoader(train, batch_size=128, shuffle=True):
        optimizer.zero_grad()
        loss = model.loss(x)
        loss.backward()
        optimizer.step()
        total += loss.item()
    print(f"train: {total / len(train):.2f}")
    model.eval()
    with torch.no_grad():
        total = sum(model.loss(x).item() for x, _ in DataLoader(test, batch_size=128))
        print(f"test: {total / len(test):.2f}")
        save_image(model.decode(torch.randn(64, 20)).view(64, 1, 28, 28), "samples.png")
    torch.save(model.state_dict(), "vae.pt")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

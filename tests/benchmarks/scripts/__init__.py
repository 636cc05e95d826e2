"""Programs without genlab that a user would otherwise write, called with the folder of MNIST and a number of images."""

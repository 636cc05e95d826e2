"""What other programs and papers call the keys and choices of genlab."""

import re

from genlab.composition.catalogue import GROUPS, names

_KEYS = {
    "activation": "act nonlinearity act_fn activation_function",
    "average": "ema ema_decay",
    "batch_size": "batch bs batchsize minibatch minibatch_size train_batch_size",
    "beta": "kl_weight kld_weight beta_kl",
    "clip": "grad_clip clip_grad max_norm max_grad_norm gradient_clip",
    "conditional": "class_conditional class_cond",
    "critic_steps": "n_critic ncritic d_steps disc_steps discriminator_steps critic_iters",
    "dataset": "data datasets data_set",
    "device": "devices accelerator",
    "dropout": "dropout_rate p_dropout",
    "epochs": "epoch num_epochs n_epochs max_epochs nb_epochs",
    "examples": "num_examples n_examples",
    "experiment": "experiments exp",
    "guidance": "guidance_scale cfg_scale",
    "hidden": "hidden_dim hidden_dims hidden_size hidden_sizes hidden_units n_hidden num_hidden layers widths channels",
    "k": "cd_k cd_steps gibbs_steps k_gibbs n_gibbs num_gibbs",
    "labels": "label classes class",
    "latent_dim": "latent latent_dims latent_size z_dim zdim z_size code_dim code_size bottleneck n_latent num_latents nz",
    "lr": "learning_rate learningrate rate step_size stepsize alpha eta",
    "model": "models family",
    "n": "num n_samples num_samples nsamples number samples",
    "network": "net arch architecture backbone",
    "optimizer": "optim optimiser opt optimizers",
    "path": "dir folder file data_path filename",
    "precision": "dtype amp",
    "root": "data_dir data_root dataroot root_dir",
    "schedule": "scheduler lr_schedule lr_scheduler",
    "seed": "random_seed rng random_state manual_seed",
    "steps": "timesteps num_steps n_steps num_timesteps diffusion_steps",
    "threads": "num_threads n_threads num_workers workers",
    "weight_decay": "wd l2 weightdecay",
}
KEYS = {other: name for name, others in _KEYS.items() for other in others.split()}
"""Word for a key -> genlab's."""

_CHOICES = {
    ("model", "ae"): "autoencoder dae denoising_autoencoder",
    ("model", "autoregressive"): "made nade pixelcnn gated_pixelcnn pixelrnn gpt masked_autoencoder transformer",
    ("model", "vae"): "beta_vae cvae iwae variational_autoencoder",
    ("model", "hvae"): "hierarchical_vae ladder_vae",
    ("model", "rbm"): "boltzmann boltzmann_machine bernoulli_rbm",
    ("model", "gaussian_rbm"): "grbm gbrbm",
    ("model", "ebm"): "energy energy_based_model",
    ("model", "gan"): "dcgan cgan",
    ("model", "wgan"): "wgan_gp wasserstein wasserstein_gan",
    ("model", "diffusion"): "ddpm ddim vdm score",
    ("model", "flow"): "normalizing_flow normalising_flow nf realnvp glow nsf neural_spline_flow maf iaf",
    ("model", "flow_matching"): "cfm rectified_flow",
    ("model", "classifier"): "cnn mlp rnn ffnn nn",
    ("dataset", "digits"): "digit sklearn_digits",
    ("dataset", "fashion_mnist"): "fashion fmnist",
    ("dataset", "cifar10"): "cifar",
    ("dataset", "array"): "npy npz numpy h5 hdf5 mat matlab",
    ("dataset", "table"): "csv tsv parquet polars pandas dataframe tabular",
    ("dataset", "image_folder"): "images folder pictures",
    ("optimizer", "sgd"): "gd gradient_descent",
    ("optimizer", "lbfgs"): "bfgs quasi_newton",
    ("optimizer", "nesterov"): "nag",
    ("optimizer", "momentum"): "heavy_ball sgd_momentum",
}


def _plain(word: str) -> str:
    return re.sub(r"[\W_]", "", word).lower()


CHOICES = {(group, _plain(other)): name for (group, name), others in _CHOICES.items() for other in others.split()}
"""Group, and word for a choice without capitals and underscores -> genlab's."""


def choice(group: str, word: str) -> str | None:
    """The choice of a group that a word means, whatever its capitals, hyphens and underscores; None where it means none."""
    known = names(group)
    if word in known:
        return word
    same = [name for name in known if _plain(name) == _plain(word)]
    return same[0] if same else CHOICES.get((group, _plain(word)))


def group_of(word: str) -> str | None:
    """The first group that has such a choice."""
    exact = [group for group in GROUPS if word in names(group)]
    return next((group for group in exact or GROUPS if choice(group, word)), None)


def key_name(word: str) -> str:
    """genlab's name of a key, without its section."""
    word = word.lower().replace("-", "_")
    return KEYS.get(word, word)

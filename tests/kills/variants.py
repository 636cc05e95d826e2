"""What is trained in a campaign of kills: every family, and what changes the state that a training carries along."""

SHORT = (
    "train.batch_size=32",
    "train.examples=1000",  # no multiple of the batch size
    "train.log_every=70",  # cadences that do not divide each other
    "train.eval_every=400",
    "train.sample_every=450",
    "train.checkpoint_every=150",
    "device=cpu",
    "device.threads=1",
)
TINY = "model.hidden=[16]"
PLANE = ("dataset=toy2d", "dataset.size=2000", "dataset.test=300", "dataset.validation=100", "train.examples=700")
SPINS = ("dataset=ising", "dataset.size=4", "dataset.examples=1000")
VAE, AE, RBM, EBM = (
    ("model=vae", TINY),
    ("model=ae", TINY),
    ("model=rbm", "model.hidden=16"),
    ("model=ebm", TINY, "model.k=3"),
)
GAN, WGAN = (("model=" + name, TINY, "model.critic_hidden=[16]", "model.latent_dim=4") for name in ("gan", "wgan"))
SGAN = ("model=sgan", TINY, "model.critic_hidden=[16,16]", "model.latent_dim=4", "dataset.labelled=100")
DIFFUSION, FLOW = (
    ("model=" + name, "model.network=mlp", TINY, "train.sample_every=900", "train.eval_every=900")
    for name in ("diffusion", "flow_matching")
)
MADE = ("model=autoregressive", "model.network=made", TINY)
PIXELCNN = ("model=autoregressive", "model.network=pixelcnn", "model.hidden=[4,4]")
COUPLINGS = ("model=flow", TINY, "model.depth=2")
CLASSIFIER = ("model=classifier", TINY)

VARIANTS: dict[str, tuple[str, ...]] = {
    # optimizers, schedules and what goes with them
    "vae": VAE,
    "vae-budget": (*VAE, "train.sample_every=null", "train.eval_every=null"),
    "vae-sgd": (*VAE, "optimizer=sgd"),
    "vae-momentum": (*VAE, "optimizer=momentum", "optimizer.schedule=linear"),
    "vae-nesterov": (*VAE, "optimizer=nesterov", "optimizer.clip=5"),
    "vae-adagrad": (*VAE, "optimizer=adagrad"),
    "vae-rmsprop": (*VAE, "optimizer=rmsprop", "optimizer.momentum=0.5"),
    "vae-adamw": (*VAE, "optimizer=adamw", "optimizer.warmup=0.3", "optimizer.clip=1"),
    "ae-lbfgs": (*AE, "optimizer=lbfgs", "train.examples=300"),
    # latent variables
    "vae-mixture": (*VAE, "model.prior=mixture", "model.components=5", "model.kl_warmup=0.5"),
    "vae-vamp": (*VAE, "model.prior=vamp", "model.components=5"),
    "vae-iwae": (*VAE, "model.k=4", "model.mc_samples=2"),
    "vae-free-bits": (*VAE, "model.free_bits=0.1", "optimizer=rmsprop"),
    "vae-conditional": (*VAE, "model.conditional=true", "model.capacity=5", "model.kl_warmup=0.4"),
    "vae-grey": (*VAE, "dataset.binarize=none", "model.likelihood=discretized_logistic"),
    "vae-dequantised": (
        *VAE,
        "dataset.binarize=none",
        "dataset.dequantize=true",
        "model.likelihood=continuous_bernoulli",
    ),
    "vae-conv": ("model=vae", "model.network=conv", "model.hidden=[4,8]"),
    "vae-resnet": ("model=vae", "model.network=resnet", "model.hidden=[4,8]"),
    "vae-plane": (*VAE, *PLANE),
    "vae-spins": (*VAE, *SPINS),
    "ae-denoising": (*AE, "model.noise=0.2", "model.density=gaussian"),
    "ae-contractive": (*AE, "model.contraction=0.1", "model.sparsity=0.01", "model.tied=true"),
    "hvae": ("model=hvae", "model.levels=[4,2]", "model.hidden=[[16],[16]]"),
    "hvae-bottom-up": (
        "model=hvae",
        "model.levels=[4,2]",
        "model.hidden=[[16],[16]]",
        "model.inference=bottom_up",
        "model.k=3",
    ),
    "vqvae": ("model=vqvae", TINY, "model.codebook=16", "model.prior_width=16", "model.revival=0.5"),
    "vqvae-conv": ("model=vqvae", "model.network=conv", "model.hidden=[4]", "model.codebook=8", "model.prior_width=16"),
    "vqvae-dropout": ("model=vqvae", TINY, "model.codebook=16", "model.prior_width=16", "model.prior_dropout=0.2"),
    "pca": ("model=pca", "train.batch_size=100"),
    "pca-randomised": ("model=pca", "model.method=randomised", "model.latent_dim=4", "train.batch_size=100"),
    # autoregressive models
    "made": MADE,
    "made-orders": (*MADE, "model.masks=3", "model.order=random"),
    "made-plane": ("model=autoregressive", TINY, *PLANE),
    "pixelcnn": (*PIXELCNN, "train.sample_every=900", "train.eval_every=900"),
    "pixelcnn-grey": (*PIXELCNN, "dataset.binarize=none", "model.dropout=0.2", "train.sample_every=900"),
    "pixel-transformer": (
        "model=autoregressive",
        "model.network=transformer",
        "model.hidden=[8,8]",
        "model.patch=2",
        "model.conditional=true",
        "model.dropout=0.1",
    ),
    # Boltzmann machines
    "rbm": RBM,
    "rbm-cd": (*RBM, "model.negative=cd", "model.k=2", "model.average=0"),
    "rbm-tempered": (*RBM, "model.negative=tempered", "model.chains=10", "model.temperatures=4"),
    "rbm-conditional": (*RBM, "model.conditional=true", "model.sparsity=0.1", "optimizer=momentum"),
    "rbm-plain": (*RBM, "model.centred=false", "model.mean_field=true", "optimizer=adam"),
    "gaussian-rbm": ("model=gaussian_rbm", "model.hidden=16"),
    "gaussian-rbm-tempered": (
        "model=gaussian_rbm",
        "model.hidden=16",
        "model.negative=tempered",
        "model.chains=10",
        "model.temperatures=4",
        *PLANE,
    ),
    "gaussian-rbm-fixed": (
        "model=gaussian_rbm",
        "model.hidden=16",
        "model.learn_sigma=false",
        "model.negative=cd",
        "optimizer=sgd",
    ),
    # energies
    "ebm": (*EBM, "model.buffer=200"),
    "ebm-short": (*EBM, "model.negative=short", "model.anneal=true", "model.average=0"),
    "ebm-plane": (*EBM, *PLANE, "model.buffer=200", "train.sample_every=null"),
    "ebm-denoising": (*EBM, "model.objective=denoising", *PLANE, "train.sample_every=null"),
    "ebm-sliced": (*EBM, "model.objective=sliced", *PLANE, "train.sample_every=null"),
    "ebm-spins": (*EBM, *SPINS, "model.buffer=200", "model.flips=one"),
    "ebm-binary": (*EBM, "dataset.binarize=threshold", "model.buffer=200", "model.spectral_norm=true"),
    # games
    "gan": GAN,
    "gan-minimax": (*GAN, "model.game=minimax", "model.critic_steps=3", "model.instance_noise=0.2", "optimizer.clip=2"),
    "gan-conditional": (*GAN, "model.conditional=true", "model.r1=1", "model.average=0"),
    "gan-concat": (*GAN, "model.conditional=true", "model.conditioning=concat", "model.spectral_norm=true"),
    "gan-conv": ("model=gan", "model.network=conv", "model.hidden=[8,4]", "model.critic_hidden=[4,8]"),
    "gan-plane": (*GAN, *PLANE),
    "wgan": (*WGAN, "train.log_every=330"),
    "wgan-clipping": (*WGAN, "model.penalty=clipping", "optimizer=rmsprop"),
    "wgan-conditional": (*WGAN, "model.conditional=true", "model.critic_steps=2"),
    "sgan": SGAN,
    "sgan-labelled": (*SGAN, "model.unlabelled_weight=0"),
    "sgan-plain": (*SGAN, "model.weight_norm=false", "model.average=0", "model.critic_average=0"),
    # noise to data
    "diffusion": DIFFUSION,
    "diffusion-learned": (*DIFFUSION, "model.schedule=learned", "model.objective=elbo"),
    "diffusion-continuous": (*DIFFUSION, "model.schedule=learned", "model.objective=elbo", "model.steps=null"),
    "diffusion-snr": (*DIFFUSION, "model.objective=min_snr", "model.prediction=eps", "model.schedule=linear"),
    "diffusion-consistency": (*DIFFUSION, "model.objective=consistency", "model.average=0"),
    "diffusion-conditional": (*DIFFUSION, "model.conditional=true", "model.dropout=0.1", "model.prediction=x0"),
    "diffusion-unet": (
        "model=diffusion",
        "model.hidden=[8]",
        "model.depth=1",
        "train.sample_every=900",
        "train.examples=300",
    ),
    "diffusion-plane": (*DIFFUSION, *PLANE),
    "flow": FLOW,
    "flow-transport": (*FLOW, "model.coupling=ot", *PLANE),
    "flow-reflow": (*FLOW, "model.reflow=0.5", "model.reflow_steps=3"),
    "flow-conditional": (*FLOW, "model.conditional=true", "model.average=0", "optimizer=adamw"),
    "flow-transformer": (
        "model=flow_matching",
        "model.network=transformer",
        "model.hidden=[32]",
        "model.depth=1",
        "train.sample_every=900",
        "train.examples=300",
    ),
    # normalizing flows
    "couplings": (*COUPLINGS, "model.layers=coupling"),
    "couplings-plane": (*COUPLINGS, *PLANE, "model.conditional=true"),
    "couplings-pictures": (*COUPLINGS, "model.dequantisation=variational", "optimizer.clip=10"),
    "couplings-conditional": (*COUPLINGS, "model.conditional=true", "model.transform=spline"),
    "maf": (*COUPLINGS, "model.layers=autoregressive", "train.sample_every=900", "train.examples=300"),
    "maf-plane": (*COUPLINGS, *PLANE, "model.layers=autoregressive", "model.mixing=lu", "model.transform=spline"),
    "iaf-plane": (*COUPLINGS, *PLANE, "model.layers=inverse_autoregressive"),
    # classes
    "classifier": (*CLASSIFIER, "model.network=ffnn", "model.label_smoothing=0.1"),
    "classifier-cnn": ("model=classifier", "model.hidden=[4,8]", "model.shift=1"),
    "classifier-rnn": (*CLASSIFIER, "model.network=rnn"),
    "classifier-labelled": (*CLASSIFIER, "dataset.labelled=100", "model.network=ffnn"),
    "classifier-start": ("model=classifier", "model.start=../start/run", "dataset.binarize=dynamic"),
    # other arithmetic
    "vae-bf16": (*VAE, "device.precision=bf16"),
    "vae-compiled": (*VAE, "device.compile=true"),
    "diffusion-compiled": (*DIFFUSION, "device.compile=true"),
}

STARTS = {"classifier-start": VAE}
"""What is trained first, where a variant starts from another run."""

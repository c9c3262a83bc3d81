"""Learned codecs: an autoencoder trained here, and one of diffusers made on the spot."""

import sys

import pytest
import torch
from torch.distributions import Normal, kl_divergence

import pushforward as pf
from pushforward.configuration import build, describe
from pushforward.errors import InputError, MissingExtra
from pushforward.measures import Empirical
from pushforward.networks import MLP, Autoencoder, Posterior, UNet
from pushforward.objectives import FlowMatching, Shortcut, VariationalReconstruction
from pushforward.paths import Latent, PretrainedAutoencoderKL, VariationalCodec
from pushforward.storage import read_tensors
from pushforward.training import TrainedCodec, fit_codec

SMALL = Autoencoder(channels=2, width=8, halvings=2)


@pytest.fixture(scope="module")
def images():
    """Smooth images on a scale of their own: a slope in a random direction."""
    generator = torch.Generator().manual_seed(0)
    along = torch.linspace(-1, 1, 8)
    slopes = torch.randn(512, 2, 1, 1, generator=generator)
    return (7 + 3 * (slopes[:, :1] * along + slopes[:, 1:] * along[:, None])).expand(-1, 1, 8, 8)


@pytest.fixture(scope="module")
def codec(images):
    return fit_codec(images, SMALL, trainer=pf.Trainer(steps=250, batch_size=64, warmup=10, learning_rate=5e-3))


def test_the_divergence_is_that_of_gaussians():
    posterior = Posterior(torch.randn(5, 2, 3), torch.randn(5, 2, 3))
    own = Normal(posterior.mean, (posterior.log_variance / 2).exp())
    known = kl_divergence(own, Normal(torch.zeros(()), torch.ones(()))).flatten(1).sum(1)
    torch.testing.assert_close(posterior.divergence(), known)


def test_it_reconstructs_and_its_latents_are_of_unit_size(images, codec):
    z = codec.encode(images)
    assert z.shape == (512, 2, 2, 2) and codec.shape((1, 8, 8)) == (2, 2, 2)
    assert (codec.decode(z) - images).square().mean() < 0.05 * images.var()
    summary = codec.summary(images)
    draws = torch.stack([codec.draw(summary, generator=torch.Generator().manual_seed(k)) for k in range(200)])
    assert draws.var(correction=0).sqrt() == pytest.approx(1, abs=0.02)
    mean, deviation = summary.chunk(2, 1)
    torch.testing.assert_close(draws.mean(0), mean, rtol=0, atol=0.4 * float(deviation.max()))
    assert float((draws.std(0) / deviation).mean()) == pytest.approx(1, abs=0.01)


def test_it_is_frozen(codec):
    path = Latent(codec)
    path.train()
    assert not path.codec.training and not any(p.requires_grad for p in path.parameters())
    assert list(path.parameters()), "the weights belong to the path, and are saved with it"


def test_a_flow_keeps_its_codec_and_resumes(images, codec, tmp_path):
    options = {
        "network": UNet(channels=8, multipliers=(1,)),
        "path": Latent(codec),
        "trainer": pf.Trainer(steps=20, batch_size=32, warmup=2, checkpoint_every=10),
    }
    before = {name: value.clone() for name, value in codec.state_dict().items()}
    flow = pf.fit("gaussian", Empirical(images), out=tmp_path, **options)
    assert all(torch.equal(value, before[name]) for name, value in flow.field.path.codec.state_dict().items())
    noise = torch.randn(6, 1, 8, 8)
    made = flow.push(noise, steps=2)
    assert made.shape == (6, 1, 8, 8)
    assert torch.equal(pf.load(tmp_path).push(noise, steps=2), made)
    (tmp_path / "checkpoints" / "step-000000020.safetensors").unlink()
    again = pf.fit("gaussian", Empirical(images), out=tmp_path, resume=True, **options)
    assert torch.equal(again.push(noise, steps=2), made)


@pytest.mark.parametrize(("objective", "copies"), [(FlowMatching(), 4), (Shortcut(), 5)], ids=["plain", "averaged"])
def test_a_run_holds_the_weights_of_its_codec_once(images, codec, tmp_path, objective, copies):
    """Beside the codec a checkpoint holds the network four times, weights, average and two moments, and once more where
    targets are made with an average of their own.
    """
    options = {"network": UNet(channels=8, multipliers=(1,)), "path": Latent(codec), "objective": objective}
    trainer = pf.Trainer(steps=2, batch_size=8, checkpoint_every=1)
    flow = pf.fit("gaussian", Empirical(images), out=tmp_path, trainer=trainer, **options)
    frozen, network = (sum(p.nbytes for p in part.parameters()) for part in (codec, flow.field.network))
    files = [tmp_path / "checkpoints" / "step-000000002.safetensors", tmp_path / "weights.safetensors"]
    checkpoint, written = (sum(tensor.nbytes for tensor in read_tensors(file)[0].values()) for file in files)
    assert 0 < checkpoint - copies * network - frozen < 0.1 * frozen
    assert 0 < written - network - frozen < 0.1 * frozen
    files[0].unlink()
    again = pf.fit("gaussian", Empirical(images), out=tmp_path, trainer=trainer, resume=True, **options)
    before, after = flow.state_dict(), again.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_from_the_command_line(images, tmp_path, capsys):
    import numpy as np

    from pushforward.cli import main

    np.save(tmp_path / "images.npy", images.numpy())
    data, run, flow = (str(tmp_path / name) for name in ("images.npy", "codec", "flow"))
    steps = ["--trainer.steps", "3", "--trainer.batch_size", "8", "--quiet"]
    network = ["--network", "Autoencoder", "--network.channels", "2", "--network.width", "8"]
    objective = ["--objective", "VariationalReconstruction", "--predicts", "data"]
    assert main(["fit", "gaussian", data, "--out", run, *network, *objective, *steps]) == 0
    latent = ["--path", "Latent", "--path.codec", "TrainedCodec", "--path.codec.run", run]
    assert main(["fit", "gaussian", data, "--out", flow, "--network", "MLP", *latent, *steps]) == 0
    loaded = pf.load(flow).field.path.codec
    assert isinstance(loaded, VariationalCodec) and loaded.network.channels == 2
    assert torch.equal(loaded.encode(images[:3]), TrainedCodec(run).fitted(images).encode(images[:3]))
    assert capsys.readouterr().err == ""


def tiny(folder):
    """Keep a randomly initialised AutoencoderKL of diffusers in a folder."""
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    sizes = {"block_out_channels": (8, 8), "norm_num_groups": 4, "sample_size": 16}
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    model = diffusers.AutoencoderKL(in_channels=1, out_channels=1, latent_channels=2, **blocks, **sizes)
    model.save_pretrained(folder)
    return model.eval()


def test_an_autoencoder_of_diffusers(images, tmp_path):
    model = tiny(tmp_path / "vae")
    x = (images[:20] - 7) / 10
    codec = PretrainedAutoencoderKL(str(tmp_path / "vae")).fitted(x)
    with torch.no_grad():
        posterior = model.encode(x).latent_dist
        torch.testing.assert_close(codec.encode(x), 0.18215 * posterior.mean)
        torch.testing.assert_close(codec.summary(x).chunk(2, 1)[1], 0.18215 * posterior.std)
        torch.testing.assert_close(codec.decode(codec.encode(x)), model.decode(posterior.mean).sample)
    again = build(describe(codec))
    again.load_state_dict(codec.state_dict())
    assert torch.equal(again.encode(x), codec.encode(x)) and again.shape((1, 8, 8)) == (2, 4, 4)
    trainer, path = pf.Trainer(steps=2, batch_size=8), Latent(PretrainedAutoencoderKL(str(tmp_path / "vae")))
    flow = pf.fit("gaussian", x, network=MLP(width=8, depth=1), path=path, trainer=trainer, out=tmp_path / "run")
    noise = torch.randn(3, 1, 8, 8)
    assert torch.equal(pf.load(tmp_path / "run").push(noise, steps=1), flow.push(noise, steps=1))


def test_diffusers_is_an_extra(images, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingExtra, match=r"pushforward\[diffusers\]"):
        PretrainedAutoencoderKL("anything").fitted(images)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda folder: Autoencoder(channels=0), "positive"),
        (lambda folder: Autoencoder(halvings=3).latent_shape((1, 12, 8)), "8 divides"),
        (lambda folder: Autoencoder(channels=8, halvings=1).latent_shape((1, 8, 8)), "larger than points"),
        (lambda folder: VariationalReconstruction(-1.0), "at least 0"),
        (lambda folder: TrainedCodec("nowhere").encode(torch.zeros(1)), "not loaded yet"),
        (lambda folder: TrainedCodec(str(folder)).fitted(torch.zeros(2, 1, 8, 8)), "holds no"),
        (lambda folder: pf.fit("gaussian", torch.randn(9, 3), objective=VariationalReconstruction()), "Autoencoder"),
    ],
)
def test_mistakes(wrong, message, tmp_path):
    with pytest.raises(InputError, match=message):
        wrong(tmp_path)


def test_a_folder_without_an_autoencoder(images, tmp_path):
    pytest.importorskip("diffusers")
    with pytest.raises(InputError, match="holds no AutoencoderKL"):
        PretrainedAutoencoderKL(str(tmp_path)).fitted(images)
    tiny(tmp_path / "vae")
    with pytest.raises(InputError, match="images of 1 channels"):
        PretrainedAutoencoderKL(str(tmp_path / "vae")).fitted(torch.zeros(2, 3, 8, 8))

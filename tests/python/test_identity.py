# SPDX-License-Identifier: Apache-2.0
"""Training with and without watch(), through the real library: the same bits."""
import math
import struct

import tap

import torch
from torch import nn
from torch.nn import functional

import barograph

torch.set_num_threads(1)
N_STEPS = 12


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(20, 16)
        self.mean = nn.Linear(16, 3)
        self.logvar = nn.Linear(16, 3)
        self.decoder = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 20))

    def forward(self, x):
        hidden = torch.tanh(self.encoder(x))
        mean, logvar = self.mean(hidden), self.logvar(hidden)
        z = mean + (0.5 * logvar).exp() * torch.randn_like(mean)
        return (self.decoder(z) - x).pow(2).sum() - 0.5 * (
            1 + logvar - mean * mean - logvar.exp()).sum()


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True),
                                  nn.MaxPool2d(2), nn.Dropout(0.3), nn.Flatten(),
                                  nn.Linear(36, 5))

    def forward(self, x):
        return functional.cross_entropy(self.body(x), torch.arange(8) % 5)


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.rnn = nn.LSTM(6, 7, num_layers=2, dropout=0.2)
        self.head = nn.Linear(7, 11)

    def forward(self, x):
        return functional.cross_entropy(self.head(self.rnn(self.embed(x))[0][-1]), x[0])


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)

    def forward(self, x):
        return (self.layer(x) - x).abs().mean()


class Twice(nn.Module):
    """Tied weights, a layer that is called twice, and an input by keyword."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(12, 12)
        self.tied = nn.Linear(12, 12)
        self.tied.weight = self.inner.weight
        self.norm = nn.utils.parametrizations.spectral_norm(nn.Linear(12, 12))
        self.drop = nn.Dropout(0.2)

    def forward(self, x):
        hidden = torch.tanh(self.inner(input=x))
        hidden = self.drop(self.inner(hidden))
        return (self.norm(self.tied(hidden)) - x).pow(2).mean()


CASES = {
    "twice": (Twice, lambda: torch.randn(8, 12), torch.optim.NAdam),
    "vae": (Vae, lambda: torch.randn(8, 20), torch.optim.Adam),
    "cnn": (Cnn, lambda: torch.randn(8, 1, 8, 8), torch.optim.AdamW),
    "lstm": (Reader, lambda: torch.randint(0, 11, (4, 8)), torch.optim.RMSprop),
    "attention": (Attention, lambda: torch.randn(4, 5, 8), torch.optim.SGD),
}


def bits(value):
    return struct.pack("<d", value)


def train(name, seed, watch):
    """Losses and final parameters; watch(run, model, optimizer) or None."""
    torch.manual_seed(seed)
    make, data, optimizer_kind = CASES[name]
    model = make()
    optimizer = optimizer_kind(model.parameters(), lr=0.01)
    run = barograph.init(mode="offline" if watch else "off")
    assert run.is_active == bool(watch)
    if watch:
        watch(run, model, optimizer)
    losses = []
    for _ in range(N_STEPS):
        loss = model(data())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        run.log({"loss": loss})
        losses.append(bits(loss.item()))
    n_pushed = run.stats().get("n_pushed", 0)
    run.finish()
    return losses, [p.detach().clone() for p in model.state_dict().values()], n_pushed


def same(name, watch):
    for seed in (0, 1, 2):
        plain, plain_state, _ = train(name, seed, None)
        seen, seen_state, n_pushed = train(name, seed, watch)
        assert n_pushed > N_STEPS * 4, n_pushed
        assert plain == seen, f"losses of {name} differ with seed {seed}"
        assert all(torch.equal(a, b) for a, b in zip(plain_state, seen_state))


def train_all(seed, watch):
    """A GAN with all that is wrapped: clipping by norm and value, accumulation, autocast,
    evaluation, a pass without gradients; every random number counts."""
    torch.manual_seed(seed)
    maker = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2),
                          nn.Linear(16, 6))
    critic = nn.Sequential(nn.Linear(6, 16), nn.LeakyReLU(0.2), nn.Dropout(0.2),
                           nn.Linear(16, 1))
    make = torch.optim.Adam(maker.parameters(), 0.01)
    judge = torch.optim.RMSprop(critic.parameters(), 0.01)
    run = barograph.init(mode="offline" if watch else "off")
    if watch:
        run.watch(maker, make, name="G", **watch)
        run.watch(critic, judge, name="D", **watch)
    trace = []
    for step in range(N_STEPS):
        for _ in range(2):
            with torch.no_grad():
                fake = maker(torch.randn(8, 4))
            judge.zero_grad()
            for part in (torch.randn(8, 6), torch.randn(8, 6)):
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    loss = critic(fake).float().mean() - critic(part).float().mean()
                loss.backward()
            nn.utils.clip_grad_value_(critic.parameters(), 0.05)
            judge.step()
            trace.append(bits(loss.item()))
        make.zero_grad()
        loss = -critic(maker(torch.randn(8, 4))).mean()
        loss.backward()
        trace.append(bits(float(nn.utils.clip_grad_norm_(maker.parameters(), 0.1))))
        make.step()
        if step % 3 == 2:
            maker.eval()
            with torch.inference_mode():
                trace.append(bits(maker(torch.randn(8, 4)).sum().item()))
            maker.train()
        run.log({"loss": loss})
        trace.append(bits(loss.item()))
    n_pushed = run.stats().get("n_pushed", 0)
    run.finish()
    state = [p.detach().clone() for model in (maker, critic) for p in model.state_dict().values()]
    return trace, state, torch.get_rng_state(), n_pushed


def test_a_gan_with_all_that_is_wrapped_trains_alike():
    for seed, watch in ((0, {"every": 1}), (1, {"every": 2}), (2, {"roles": ["act_grad"]})):
        plain, plain_state, plain_rng, _ = train_all(seed, None)
        seen, seen_state, seen_rng, n_pushed = train_all(seed, watch)
        assert n_pushed > N_STEPS * 4, n_pushed
        assert plain == seen, f"differs with seed {seed}"
        assert all(torch.equal(a, b) for a, b in zip(plain_state, seen_state))
        assert torch.equal(plain_rng, seen_rng), "random numbers were drawn"


def train_to_ruin(seed, is_watched):
    """A training that becomes NaN in the middle and goes on; what it leaves, bit for bit."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True),
                          nn.Dropout(0.3), nn.Flatten(), nn.Linear(144, 5))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    run = barograph.init(mode="offline" if is_watched else "off")
    if is_watched:
        run.watch(model, optimizer)
    trace = []
    for step in range(N_STEPS):
        x = torch.randn(8, 1, 8, 8)
        out = model(x) * (1e30 if step == 6 and seed == 0 else 1.0)
        distance = (out - out.detach() * (step >= 6 and seed == 1)).pow(2).sum(1)
        loss = distance.sqrt().mean() + torch.rand(()) * functional.dropout(out, 0.5).exp().mean()
        optimizer.zero_grad()
        loss.backward()
        trace += [bits(loss.item())] + [bits(float(p.grad.sum())) for p in model.parameters()]
        optimizer.step()
        run.log({"loss": loss.item()})
    n_pushed = run.stats().get("n_pushed", 0)
    run.finish()
    return trace, list(model.state_dict().values()), torch.get_rng_state(), n_pushed


def test_a_training_that_fails_goes_on_alike():
    for seed in (0, 1):  # 0: its loss becomes NaN; 1: a gradient, while the loss is finite
        plain, plain_state, plain_rng, _ = train_to_ruin(seed, False)
        seen, seen_state, seen_rng, n_pushed = train_to_ruin(seed, True)
        assert n_pushed > N_STEPS * 4, n_pushed
        assert math.isfinite(struct.unpack("<d", plain[0])[0]), "it was never well"
        assert any(not math.isfinite(struct.unpack("<d", one)[0]) for one in plain)
        assert plain == seen, f"differs with seed {seed}"
        assert all(same_bits(a, b) for a, b in zip(plain_state, seen_state))
        assert torch.equal(plain_rng, seen_rng), "random numbers were drawn"


def same_bits(a, b):
    return bool(((a == b) | (a.isnan() & b.isnan())).all()) if a.is_floating_point() else (
        torch.equal(a, b))


def test_tied_weights_and_layers_called_twice_train_alike():
    same("twice", lambda run, model, optimizer: run.watch(model, optimizer, every=1))


def test_the_governors_choice_trains_alike():
    same("lstm", lambda run, model, optimizer: run.watch(model, optimizer))


def test_a_variational_autoencoder_trains_alike():
    same("vae", lambda run, model, optimizer: run.watch(model, optimizer, every=1))


def test_convolutions_with_dropout_and_batch_norm_train_alike():
    same("cnn", lambda run, model, optimizer: run.watch(model, optimizer, every=1))


def test_a_recurrent_network_trains_alike():
    same("lstm", lambda run, model, optimizer: run.watch(model, optimizer, every=1))


def test_attention_trains_alike():
    same("attention", lambda run, model, optimizer: run.watch(model, optimizer, every=1))


def test_measuring_now_and_then_trains_alike():
    same("cnn", lambda run, model, optimizer: run.watch(model, optimizer, every=3))


def test_watching_without_an_optimizer_trains_alike():
    same("vae", lambda run, model, optimizer: run.watch(model, every=1))


if __name__ == "__main__":
    tap.main(globals())

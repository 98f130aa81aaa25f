#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Credit assignment agrees with torch: gradients with autograd, shares of values with their
definition computed in f64, and changes with what really changed, on five kinds of models."""
import math

import tap

FOLDER = tap.prepare()

import torch  # noqa: E402
import torch.nn as nn  # noqa: E402
import torch.nn.functional as F  # noqa: E402

import torch_credit as own  # noqa: E402
from torch_credit import CHANGE, GRADIENT, VALUE  # noqa: E402

TOLERANCE = 1e-4
OWNS = ("bias", "shift", "scale", "noise", "weight", "rest", "unknown", "round")
_library = []


def library():
    if not _library:
        _library.append(own.Library(tap.built("tests", "python", "libcredit_torch.so")))
    return _library[0]


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 4, 3, stride=2, groups=2)
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm(self.conv1(x))), 2)
        return self.head(torch.tanh(self.conv2(x)).mean((2, 3)))


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(12, 8)
        self.mu = nn.Linear(8, 3)
        self.logvar = nn.Linear(8, 3)
        self.decoder = nn.Linear(3, 12)

    def forward(self, x):
        h = torch.tanh(self.encoder(x))
        mu, logvar = self.mu(h), self.logvar(h)
        z = mu + (0.5 * logvar).exp() * torch.randn_like(mu)
        return self.decoder(z), mu, logvar


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.lstm = nn.LSTM(6, 7, batch_first=True)
        self.head = nn.Linear(7, 4)

    def forward(self, x):
        return self.head(self.lstm(self.embedding(x))[0][:, -1])


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = [one.view(b, t, self.heads, c // self.heads).transpose(1, 2)
                   for one in self.qkv(self.ln1(x)).split(c, dim=2)]
        a = (q @ k.transpose(-2, -1)) / math.sqrt(k.shape[-1])
        mask = torch.triu(torch.ones(t, t, dtype=torch.bool), 1)
        a = a.masked_fill(mask, -math.inf).softmax(-1)
        x = x + self.out((a @ v).transpose(1, 2).reshape(b, t, c))
        return x + self.down(F.gelu(self.up(self.ln2(x))))


class Gpt(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(9, 8), nn.Embedding(6, 8)
        self.blocks = nn.Sequential(Block(8, 2), Block(8, 2))
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 9, bias=False)

    def forward(self, x):
        places = torch.arange(x.shape[1])
        return self.head(self.norm(self.blocks(self.tokens(x) + self.places(places))))


def vae_loss(x):
    def loss_of(output):
        y, mu, logvar = output
        kl = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum()
        return F.binary_cross_entropy_with_logits(y, x, reduction="sum") / 6 + kl / 6
    return loss_of


def make(kind):
    """A model, inputs, a loss, and a module whose output is asked about."""
    torch.manual_seed(4)
    if kind == "mlp":
        model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 12), nn.Tanh(),
                              nn.Linear(12, 4))
        x, classes = torch.randn(6, 10), torch.arange(6) % 4
        return model, [x], lambda out: F.cross_entropy(out, classes), model[2]
    if kind == "cnn":
        model, x, classes = Cnn(), torch.randn(6, 2, 10, 10), torch.arange(6) % 5
        nn.init.uniform_(model.norm.weight, 0.5, 1.5)
        nn.init.normal_(model.norm.bias, 0, 0.3)
        return model, [x], lambda out: F.cross_entropy(out, classes), model.norm
    if kind == "vae":
        model, x = Vae(), torch.rand(6, 12)
        return model, [x], vae_loss(x), model.logvar
    if kind == "lstm":
        model, x, classes = Lstm(), torch.randint(0, 11, (5, 4)), torch.arange(5) % 4
        return model, [x], lambda out: F.cross_entropy(out, classes), model.embedding
    model, x = Gpt(), torch.randint(0, 9, (4, 6))
    return (model, [x], lambda out: F.cross_entropy(out[:, :-1].reshape(-1, 9),
                                                    x[:, 1:].reshape(-1)), model.blocks[0])


KINDS = ("mlp", "cnn", "vae", "lstm", "gpt")


def probe_at(kind, model, inputs, loss_of, **options):
    torch.manual_seed(9)
    return own.probe_of(library(), model, inputs, loss_of, **options)


def near(is_, wanted, what, scale=None, tolerance=TOLERANCE):
    scale = max(abs(wanted), scale or 0.0)
    assert abs(is_ - wanted) <= tolerance * scale + 1e-12, (what, is_, wanted)


def output_of(probe, name):
    """The last value that a module gave, by its name."""
    return [op for op in probe.ops_in_order
            if op.module == name or op.module.startswith(name + ".")][-1].outputs[0]


def name_of(model, module):
    return next(name for name, part in model.named_modules() if part is module)


# ---- gradients ----

def gradient_at(kind):
    """d loss / d output of the module, and every module's (gradient, derivative along it), in f64."""
    model, inputs, loss_of, module = make(kind)
    model = model.double()
    inputs = [one.double() if one.is_floating_point() else one for one in inputs]
    if kind == "vae":
        loss_of = vae_loss(inputs[0])
    module = dict(model.named_modules())[name_of(model, module)]
    offset = None
    outputs = {}

    def hook(part, args, output):
        if not isinstance(output, torch.Tensor):
            return None
        if part is module and offset is not None:
            output = output + offset
        if output.requires_grad:
            output.retain_grad()
        outputs[part] = output
        return output

    for part in model.modules():
        part.register_forward_hook(hook)
    noise = make_noise(kind)

    def run():
        torch.manual_seed(9)
        with noise:
            return loss_of(model(*inputs))

    run().backward()
    gradients = {part: out.grad.clone() for part, out in outputs.items() if out.grad is not None}
    g = gradients[module]
    step = 1e-5
    sides = []
    for sign in (-1, 1):
        offset = sign * step * g / g.norm()
        with torch.no_grad():
            run()
        sides.append({part: out.detach().clone() for part, out in outputs.items()})
    return g, {name: (gradients[part], (sides[1][part] - sides[0][part]) / (2 * step))
               for name, part in model.named_modules() if part in gradients}


class make_noise:
    """Within it randn_like gives what f32 gives: the same numbers in both."""

    def __init__(self, kind):
        self._real = torch.randn_like

    def __enter__(self):
        torch.randn_like = lambda like: torch.randn(like.shape, dtype=torch.float32).to(like.dtype)

    def __exit__(self, *exception):
        torch.randn_like = self._real


def check_gradient(kind):
    g, modules = gradient_at(kind)
    model, inputs, loss_of, module = make(kind)
    with make_noise(kind):
        probe, _ = probe_at(kind, model, inputs, loss_of)
    target = output_of(probe, name_of(model, module))
    found = library().explain(GRADIENT, probe, probe.number(target))
    near(found["total"], g.norm().item(), "gradient")
    near(found["explained"], 1, "explained", tolerance=0.01)
    assert not any(node["is_unknown"] for node in found["nodes"]), found["nodes"]
    n_compared = 0
    for name, (gradient, tangent) in modules.items():
        if tangent.abs().max() == 0 or not name:
            continue
        value = output_of(probe, name)
        flow = (gradient * tangent / g.norm()).float()
        units = {one["unit"]: one["share"] for one in found["units"]
                 if one["value"] == probe.number(value)}
        if name == name_of(model, module) or not units or value.unit < 0:
            continue
        sums = flow.transpose(0, value.unit).flatten(1).sum(1)
        for unit, share in units.items():
            near(share, sums[unit].item(), (name, unit), scale=flow.abs().sum().item())
            n_compared += 1
    assert n_compared > 0 or kind == "lstm"
    row = library().explain(GRADIENT, probe, probe.number(target), unit=1, row=2)
    part = g.select(target.unit, 1)[2] if target.unit > 0 else g[:, 1][2]
    part = g.transpose(0, target.batch)[2].select(target.unit - 1, 1)
    near(row["total"], part.norm().item() * (1 if part.numel() > 1 else part.sign().item()),
         "of a unit and a sample")
    library().free(probe)


def test_gradients_and_where_they_came_from_agree_with_autograd():
    for kind in KINDS:
        check_gradient(kind)


# ---- values ----

def edges_by_value(found):
    shares = {}
    for edge in found["edges"]:
        shares[edge["value"]] = shares.get(edge["value"], 0.0) + edge["share"]
    return shares


def check_value(kind):
    model, inputs, loss_of, module = make(kind)
    probe, _ = probe_at(kind, model, inputs, loss_of)
    if any(op.name == "mkldnn_rnn_layer" for op in probe.ops_in_order):
        return  # torch 2 keeps it as one operation: its inside is not seen here
    for target in (probe.loss_value, output_of(probe, name_of(model, module))):
        found = library().explain(VALUE, probe, probe.number(target))
        x = probe.tensors[target.number].double()
        near(found["total"], x.sum().item(), "total", scale=x.abs().sum().item())
        if x.sum().abs() < 2e-3 * x.abs().sum():
            continue  # the absolute ones are explained then
        wanted = own.relevance(probe, target, x / x.sum())
        near(found["explained"], 1, "explained", tolerance=0.01)
        shares = edges_by_value(found)
        for value in probe.values:
            if value.number in wanted and value.number != target.number:
                share = shares.get(probe.number(value), 0.0)
                near(share, wanted[value.number].sum().item(), (kind, value.number, value.op and
                     value.op.name), scale=wanted[value.number].abs().sum().item())
        by_number = {probe.number(value): value for value in probe.values
                     if value.number in wanted}
        for one in found["units"]:
            value = by_number.get(one["value"])
            if value is None or one["unit"] < 0 or value is target:
                continue
            parts = wanted[value.number].transpose(0, value.unit).flatten(1)
            near(one["share"], parts[one["unit"]].sum().item(), (kind, value.number),
                 scale=parts.abs().sum().item())
    library().free(probe)


def test_shares_of_values_agree_with_their_definition():
    for kind in KINDS:
        check_value(kind)


# ---- changes ----

def train(model, inputs, loss_of):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(model(*inputs)).backward()
        optimizer.step()


def other_inputs(inputs):
    return [torch.where(torch.rand(one.shape) < 0.5, one, one.flip(0)) if not
            one.is_floating_point() else 0.5 * one + 0.4 * torch.rand_like(one) for one in inputs]


def check_change(kind, n_rows=None):
    model, inputs, loss_of, module = make(kind)
    before, loss0 = probe_at(kind, model, inputs, loss_of, n_rows=n_rows)
    train(model, inputs, loss_of)
    torch.manual_seed(6)
    changed = other_inputs(inputs)
    loss_now = vae_loss(changed[0]) if kind == "vae" else loss_of
    now, loss1 = probe_at(kind, model, changed, loss_now, n_rows=n_rows, step=4)
    found = library().explain(CHANGE, now, now.number(now.loss_value), before=before)
    change = loss1.item() - loss0.item()
    near(found["total"], change, "total", scale=abs(loss1.item()) * 1e-2)
    outside = sum(edge["share"] for edge in found["edges"] if edge["to"] < 0)
    owns = {name: sum(node[name] or 0.0 for node in found["nodes"]) for name in OWNS}
    own_sum = sum(owns[name] for name in OWNS if name not in ("round", "unknown"))
    size = sum(edge["size"] for edge in found["edges"] if edge["to"] < 0) + 1
    near(outside + own_sum, 1, (kind, outside, owns), tolerance=TOLERANCE * max(1, size / 10))
    assert abs(owns["weight"]) > 1e-3, owns
    if n_rows is None:
        assert abs(owns["rest"]) < TOLERANCE * size, owns
    library().free(now)
    library().free(before)


def test_parts_of_a_change_add_up_to_it():
    for kind in KINDS:
        check_change(kind)


def test_parts_of_a_change_add_up_where_samples_were_not_kept():
    for kind in KINDS:
        check_change(kind, n_rows=3)


def test_nothing_is_unknown_where_samples_were_not_kept():
    for kind in KINDS:
        model, inputs, loss_of, _ = make(kind)
        probe, _ = probe_at(kind, model, inputs, loss_of, n_rows=3)
        found = library().explain(VALUE, probe, probe.number(probe.loss_value))
        assert not any(node["is_unknown"] for node in found["nodes"]), (kind, [
            probe.ops_in_order[node["op"]].name for node in found["nodes"] if node["is_unknown"]])
        library().free(probe)


if __name__ == "__main__":
    tap.main(globals())

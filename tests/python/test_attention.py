# SPDX-License-Identifier: Apache-2.0
"""Attention logits: seen within the layer that computes them, and nothing left behind."""
import math

import tap
import fake

import torch
from torch import nn
from torch.nn import functional

torch.set_num_threads(1)

HAS_PRODUCTS = hasattr(functional, "scaled_dot_product_attention")


class SelfAttention(nn.Module):
    """As in many a small GPT."""

    def __init__(self, how, width=8, n_heads=2):
        super().__init__()
        self.how, self.n_heads = how, n_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.largest = None

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (part.view(b, t, self.n_heads, -1).transpose(1, 2)
                   for part in self.qkv(x).split(c, 2))
        if self.how == "products":
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        mask = torch.ones(t, t).tril() == 0
        logits = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(mask, -math.inf)
        self.largest = float(logits.detach().max())
        if self.how == "torch":
            y = torch.softmax(logits, -1) @ v
        elif self.how == "functional":
            y = functional.softmax(logits, dim=-1) @ v
        elif self.how == "method":
            y = logits.softmax(dim=3) @ v
        return y.transpose(1, 2).reshape(b, t, c)


class Net(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.attn = SelfAttention(how)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return functional.softmax(self.head(self.attn(x)), -1)  # not within the layer


def functions():
    return (functional.softmax, torch.softmax, torch.Tensor.softmax,
            getattr(functional, "scaled_dot_product_attention", None),
            getattr(functional, "_scaled_dot_product_attention", None))


def told(library):
    return {name: value for _, name, value in library.scalars() if "attn_logit_max" in name}


def test_each_way_of_softmax_is_seen():
    for how in ("torch", "functional", "method") + (("products",) if HAS_PRODUCTS else ()):
        run, library = fake.open_run()
        torch.manual_seed(2)
        model = Net(how)
        run.watch(model)
        before = functions()
        loss = model(torch.randn(1, 6, 8)).sum()
        assert functions() == before
        loss.backward()
        run.log({"loss": loss})
        found = told(library)
        assert set(found) == {"attn/attn_logit_max"}, (how, found)
        value = found["attn/attn_logit_max"]
        assert abs(value - model.attn.largest) < 1e-5, (how, value, model.attn.largest)
        assert "softmax" not in torch.Tensor.__dict__
        run.finish()


def test_multihead_attention_is_seen():
    run, library = fake.open_run()
    torch.manual_seed(2)
    model = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0)
    with torch.no_grad():
        model.self_attn.in_proj_weight.mul_(4)
    run.watch(model)
    x = torch.randn(5, 1, 8)
    model(x).sum().backward()
    run.log({})
    q, k, _ = (x @ model.self_attn.in_proj_weight.detach().t()).split(8, -1)
    want = max(float((q[:, 0, h:h + 4] @ k[:, 0, h:h + 4].t()).max()) / 2 for h in (0, 4))
    value = told(library)["self_attn/attn_logit_max"]
    assert abs(value - want) < 1e-4, (value, want)
    run.finish()


def test_what_masks_are_given_is_left_out():
    if not HAS_PRODUCTS:
        raise tap.Skip("torch has no scaled_dot_product_attention")
    from barograph._attention import Attention
    seen = Attention(None, None, None)
    q = torch.randn(2, 3, 5, 4)
    k = torch.randn(2, 3, 7, 4)
    logits = (q @ k.transpose(-1, -2) / 2)[:1]
    mask = torch.rand(5, 7) > 0.5
    want = float(logits.masked_fill(~mask, -math.inf).max())
    assert abs(seen._look_at_products((q, k, k, mask), {}) - want) < 1e-6
    add = torch.randn(2, 3, 5, 7)
    want = float((logits + add[:1]).max())
    assert abs(seen._look_at_products((q, k, k), {"attn_mask": add}) - want) < 1e-6
    nothing = torch.zeros(5, 7, dtype=torch.bool)
    assert seen._look_at_products((q, k, k, nothing), {}) is None
    want = float((q @ k.transpose(-1, -2) * 3)[:1].max())
    assert abs(seen._look_at_products((q, k, k), {"scale": 3.0}) - want) < 1e-5


def test_a_layer_that_raises_leaves_nothing_behind():
    run, library = fake.open_run()
    model = Net("no such way")  # y is never set: UnboundLocalError
    run.watch(model)
    before = functions()
    try:
        model(torch.randn(1, 6, 8))
        raise AssertionError("nothing was raised")
    except UnboundLocalError:
        pass
    run.log({"loss": 1.0})
    assert functions() == before and not told(library)
    run.finish()


def test_losses_are_the_same_bit_for_bit():
    def losses(is_watched):
        torch.manual_seed(4)
        model = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2), Net("torch"))
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        run = fake.open_run()[0] if is_watched else None
        if is_watched:
            run.watch(model, optimizer)
        found = []
        for _ in range(5):
            loss = model(torch.randn(4, 6, 8)).square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
            if is_watched:
                run.log({"loss": loss})
        if is_watched:
            run.finish()
        return found

    assert losses(True) == losses(False)


if __name__ == "__main__":
    tap.main(globals(), needs_library=False)

# SPDX-License-Identifier: Apache-2.0
"""Healthy trainings, one of each kind. All that is raised in them is a false alarm."""
import torch
from torch import nn
from torch.nn import functional as F

from . import data, zoo
from .programs import (Contrastive, Gan, Judged, LanguageModel, Policy, Recommender, Supervised,
                       Scaled, Variational, adam, adamw, half_entropy, sgd, step_decay,
                       warm_cosine)


def mlp_sgd():
    return Supervised(zoo.mlp(), data.digits(), optimizer=sgd(0.05))


def mlp_adam_tabular():
    return Supervised(zoo.mlp(30, 32, 2, 2), data.cancer(), optimizer=adam(1e-3), val_every=25)


def cnn_norm_dropout():
    return Supervised(zoo.Cnn(), data.digits(), optimizer=adam(2e-3), val_every=30)


def cnn_plain():
    return Supervised(zoo.Cnn(with_norm=False, dropout=0.0), data.digits(), optimizer=adam(1e-3))


def vae():
    return Variational(optimizer=adam(2e-3))


def gan():
    return Gan(n_steps=400)


def lstm_letters():
    return LanguageModel(zoo.Letters, optimizer=adam(3e-3), clip=1.0, n_batch=16)


def gru_rows():
    return Supervised(zoo.Rows(), data.digits(), optimizer=adam(3e-3), clip=5.0)


def gpt_letters():
    return LanguageModel(zoo.Gpt, optimizer=adamw(3e-3, weight_decay=0.1), clip=1.0, n_batch=16,
                         schedule=warm_cosine(30, 300))


def autoencoder():
    return Supervised(zoo.Autoencoder(), (data.digits()[0], data.digits()[0].flatten(1)),
                      F.mse_loss, adam(2e-3))


def regression():
    x, y = data.diabetes()
    return Supervised(zoo.mlp(10, 32, 1, 1, nn.Tanh), (x, y.unsqueeze(1)), F.mse_loss,
                      sgd(0.02), val_every=50)


def recommender():
    return Recommender(optimizer=adam(1e-2), n_batch=128)


def contrastive():
    return Contrastive(optimizer=adam(2e-3), n_batch=48)


def policy_gradient():
    return Policy(optimizer=adam(3e-3), n_steps=400)


def bf16_autocast():
    return Supervised(zoo.mlp(width=64), data.digits(), optimizer=adam(2e-3),
                      context=lambda: torch.autocast("cpu", dtype=torch.bfloat16))


def fp16_loss_scaled():
    model = zoo.mlp()
    model.add_module("low", zoo.Half())
    return Scaled(model, data.digits(), half_entropy, adam(2e-3))


def warmup_cosine():
    return Supervised(zoo.mlp(act=nn.GELU), data.digits(), optimizer=sgd(0.1),
                      schedule=warm_cosine(40, 300))


def step_decay_sgd():
    return Supervised(zoo.Cnn(dropout=0.0), data.digits(), optimizer=sgd(0.05, weight_decay=5e-4),
                      schedule=step_decay(300))


def large_batch():
    return Supervised(zoo.mlp(), data.digits(), optimizer=sgd(0.2), n_batch=512, n_steps=200)


def fine_tune():
    """A trained body stands still for a while under a new head, then it learns along."""
    model = zoo.Cnn(dropout=0.0)
    x, y = data.digits()
    warm = torch.optim.Adam(model.parameters(), 3e-3)
    for i in range(60):
        part = torch.randperm(len(x))[:64]
        warm.zero_grad()
        F.cross_entropy(model(x[part]), y[part] % 5).backward()
        warm.step()
    model.out = nn.Linear(32, 10)
    body = [p for name, p in model.named_parameters() if not name.startswith("out")]
    for p in body:
        p.grad = None
        p.requires_grad_(False)
    program = Supervised(model, (x, y), n_batch=32, optimizer=lambda _: torch.optim.Adam(
        model.out.parameters(), 3e-3))

    def unfreeze():
        for p in body:
            p.requires_grad_(True)
        program.optimizer.add_param_group({"params": body, "lr": 3e-4})

    program.at(120, unfreeze)
    return program


def evaluation_passes():
    return Supervised(zoo.mlp(dropout=0.3), data.digits(), optimizer=adam(2e-3), val_every=10)


def accumulation():
    return Supervised(zoo.mlp(), data.digits(), optimizer=adam(2e-3), n_accumulate=4, n_batch=16,
                      n_steps=200)


def restart():
    program = Supervised(zoo.mlp(), data.digits(), optimizer=sgd(0.05))
    program.restarts = (150,)   # its process ends here and goes on from the state it saved
    return program


def two_optimisers():
    """The body and the head of one model are trained by an optimiser each."""
    model = zoo.mlp()
    program = Supervised(model, data.digits(), optimizer=lambda _: torch.optim.SGD(
        [p for n, p in model.named_parameters() if n.startswith("out")], 0.05, momentum=0.9))
    body = torch.optim.Adam([p for n, p in model.named_parameters() if not n.startswith("out")],
                            1e-3)
    program.after_backward.append(lambda step: body.step())
    program.after_step.append(lambda step: body.zero_grad())
    program.models[0][2].append(body)
    return program


def judged():
    """Results per sample are logged."""
    return Judged(zoo.Cnn(), data.digits(), optimizer=adam(2e-3), n_batch=64, n_steps=400)


KINDS = [judged, mlp_sgd, mlp_adam_tabular, cnn_norm_dropout, cnn_plain, vae, gan, lstm_letters, gru_rows,
         gpt_letters, autoencoder, regression, recommender, contrastive, policy_gradient,
         bf16_autocast, fp16_loss_scaled, warmup_cosine, step_decay_sgd, large_batch, fine_tune,
         evaluation_passes, accumulation, restart, two_optimisers]

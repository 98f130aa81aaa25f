# SPDX-License-Identifier: Apache-2.0
"""Real small data that every machine with the test packages holds: scikit-learn's digits, diabetes
and breast cancer tables, and the licence texts of Debian."""
import functools
import os

import torch

TEXTS = "/usr/share/common-licenses"
TEXT_NAMES = ("Apache-2.0", "Artistic", "BSD", "CC0-1.0", "GFDL-1.3", "GPL-2", "GPL-3", "LGPL-2.1",
              "MPL-1.1", "MPL-2.0")


@functools.lru_cache(None)
def digits():
    """1,797 handwritten digits of 8 x 8: pictures n x 1 x 8 x 8 from 0 to 1, classes n."""
    from sklearn.datasets import load_digits
    table = load_digits()
    return (torch.tensor(table.images, dtype=torch.float32).unsqueeze(1) / 16,
            torch.tensor(table.target))


def _standard(table):
    return (table - table.mean(0)) / (table.std(0) + 1e-6)


@functools.lru_cache(None)
def diabetes():
    """442 patients: 10 measures each, standardised, and how their illness went on, standardised."""
    from sklearn.datasets import load_diabetes
    table = load_diabetes()
    return (_standard(torch.tensor(table.data, dtype=torch.float32)),
            _standard(torch.tensor(table.target, dtype=torch.float32)))


@functools.lru_cache(None)
def cancer():
    """569 tumours: 30 measures each, standardised, and whether they are benign."""
    from sklearn.datasets import load_breast_cancer
    table = load_breast_cancer()
    return (_standard(torch.tensor(table.data, dtype=torch.float32)), torch.tensor(table.target))


def _read(name):
    with open(os.path.join(TEXTS, name), encoding="utf-8", errors="replace") as file:
        return " ".join(file.read().split())


@functools.lru_cache(None)
def letters():
    """The licences as one row of numbers of letters, and how many letters there are."""
    text = " ".join(_read(name) for name in TEXT_NAMES).lower()
    known = "".join(sorted({c for c in text if c < "\x7f"}))
    place = {c: i for i, c in enumerate(known)}
    return torch.tensor([place[c] for c in text if c in place]), len(known)


@functools.lru_cache(None)
def words(n_words=400):
    """The licences as one row of numbers of their commonest words (the rest left out)."""
    rows = " ".join(_read(name) for name in TEXT_NAMES).lower()
    rows = "".join(c if c.isalpha() else " " for c in rows).split()
    counts = {}
    for word in rows:
        counts[word] = counts.get(word, 0) + 1
    common = sorted(counts, key=lambda word: (-counts[word], word))[:n_words]
    place = {word: i for i, word in enumerate(common)}
    return torch.tensor([place[word] for word in rows if word in place])


@functools.lru_cache(None)
def ratings(n_words=200, piece=250):
    """How often each of the commonest words stands in each piece of the licences, as a table of
    (piece, word, log of the count): what a recommender learns to fill in."""
    row = words(n_words)
    pieces = row[:len(row) // piece * piece].view(-1, piece)
    table = torch.zeros(len(pieces), n_words)
    table.scatter_add_(1, pieces, torch.ones(pieces.shape))
    where = torch.arange(len(pieces)).repeat_interleave(n_words)
    which = torch.arange(n_words).repeat(len(pieces))
    return where, which, torch.log1p(table).reshape(-1)

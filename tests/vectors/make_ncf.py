#!/usr/bin/python3
"""Reference trajectories of neural collaborative filtering: ncf_*.json. See README.md."""
import numpy
import torch
from torch import nn
from torch.nn import functional as F

import common

USERS, ITEMS, FACTORS, LAYERS = 12, 18, 4, (12, 8, 4)
ROWS, SHORT_ROWS = 20, 6


class Ncf(nn.Module):
    """He et al. 2017: the product of two vectors, a perceptron over two others, or both side by side."""

    def __init__(self, variant, sparse):
        super().__init__()
        width = 0
        if variant in ('gmf', 'neumf'):
            self.gmf_user = nn.Embedding(USERS, FACTORS, sparse=sparse)
            self.gmf_item = nn.Embedding(ITEMS, FACTORS, sparse=sparse)
            width += FACTORS
        if variant in ('mlp', 'neumf'):
            self.mlp_user = nn.Embedding(USERS, LAYERS[0] // 2, sparse=sparse)
            self.mlp_item = nn.Embedding(ITEMS, LAYERS[0] // 2, sparse=sparse)
            for i in range(1, len(LAYERS)):
                self.add_module('mlp%d' % (i - 1), nn.Linear(LAYERS[i - 1], LAYERS[i]))
            width += LAYERS[-1]
        self.output = nn.Linear(width, 1)

    def forward(self, user, item):
        parts = []
        if hasattr(self, 'gmf_user'):
            parts.append(self.gmf_user(user) * self.gmf_item(item))
        if hasattr(self, 'mlp_user'):
            x = torch.cat([self.mlp_user(user), self.mlp_item(item)], 1)
            for i in range(len(LAYERS) - 1):
                x = F.relu(getattr(self, 'mlp%d' % i)(x))
            parts.append(x)
        return self.output(torch.cat(parts, 1))[:, 0]


def case(name, about, seed, variant, optimizer):
    rng = numpy.random.default_rng(seed)
    sparse = optimizer.get('embeddings') == 'sparse'
    sizes = common.batch_sizes(ROWS, SHORT_ROWS)
    # Few users and items a batch, so that some rows repeat within one and others stay untouched for steps.
    users = [rng.integers(0, USERS, rows) for rows in sizes]
    items = [rng.integers(0, ITEMS, rows) for rows in sizes]
    labels = [(rng.random(rows) < 0.3).astype(int) for rows in sizes]

    def make_model():
        made = Ncf(variant, sparse)
        bounds = {n: 0.3 if '_' in n else getattr(made, n.split('.')[0]).in_features ** -0.5
                  for n, _ in made.named_parameters()}
        common.initialise(made, numpy.random.default_rng(seed + 1), bounds)
        return made

    def loss_of(made, step):
        out = made(torch.from_numpy(users[step]), torch.from_numpy(items[step]))
        return F.binary_cross_entropy_with_logits(out, torch.from_numpy(labels[step]).to(out.dtype))

    model = {'type': 'ncf', 'variant': variant, 'factors': FACTORS, 'layers': list(LAYERS), 'negatives': 4, 'top_k': 10}
    batches = [{'user': u.tolist(), 'item': i.tolist(), 'label': y.tolist()} for u, i, y in zip(users, items, labels)]
    tables = {n + '.weight' for n in ('gmf_user', 'gmf_item', 'mlp_user', 'mlp_item')}
    common.write(name, about, {'model': model, 'records': {'users': USERS, 'items': ITEMS}, 'batches': batches},
                 make_model, loss_of, optimizer, tables)


ADAM = {'type': 'adam', 'lr': 0.001}
case('ncf_gmf', 'dense Adam: rows that a batch lacks move too, by their moments', 101, 'gmf', ADAM)
case('ncf_mlp', 'the perceptron alone', 111, 'mlp', ADAM)
case('ncf_neumf', 'both, dense Adam', 121, 'neumf', ADAM)
case('ncf_neumf_sgd', 'both, SGD with momentum', 131, 'neumf', {'type': 'sgd', 'lr': 0.1, 'momentum': 0.9})
case('ncf_neumf_sparse_adam', 'torch.optim.SparseAdam on the tables, Adam on the rest', 121, 'neumf', {**ADAM, 'embeddings': 'sparse'})
case('ncf_neumf_sparse_adagrad', 'torch.optim.Adagrad, sparse gradients for the tables', 141, 'neumf',
     {'type': 'adagrad', 'lr': 0.05, 'eps': 1e-10, 'initial_accumulator': 0.1, 'embeddings': 'sparse'})

#!/usr/bin/python3
"""Reference trajectories of the multilayer perceptron: mlp_*.json. See README.md."""
import numpy
import torch
from torch import nn
from torch.nn import functional as F

import common

RECORDS, ROWS, SHORT_ROWS = 40, 16, 5
ACTIVATIONS = {'relu': F.relu, 'gelu': F.gelu, 'tanh': torch.tanh}  # F.gelu is the exact one, by erf
ADAM = {'type': 'adam', 'lr': 0.001}


class Mlp(nn.Module):
    """Input: numeric columns, then each category column's row of its table; dense layers; a head."""

    def __init__(self, spec, numeric_width, buckets):
        super().__init__()
        self.activation = ACTIVATIONS[spec['activation']]
        self.embedding = nn.ModuleList(nn.Embedding(rows, spec['embedding_width']) for rows in buckets)
        widths = [numeric_width + len(buckets) * spec['embedding_width'], *spec['hidden'], spec['classes']]
        self.layers = len(widths) - 1
        for i in range(self.layers):
            self.add_module('layer%d' % i, nn.Linear(widths[i], widths[i + 1]))

    def forward(self, numeric, category):
        x = torch.cat([numeric] + [table(category[:, i]) for i, table in enumerate(self.embedding)], 1)
        for i in range(self.layers):
            x = getattr(self, 'layer%d' % i)(x)
            if i + 1 < self.layers:
                x = self.activation(x)
        return x


def row_losses(head, out, labels):
    if head == 'softmax':
        return F.cross_entropy(out, labels.long(), reduction='none')
    if head == 'sigmoid':
        return F.binary_cross_entropy_with_logits(out[:, 0], labels, reduction='none')
    return (out[:, 0] - labels) ** 2


def case(name, about, seed, model, optimizer, numeric_width, buckets=(), as_bytes=False, class_weights=None):
    rng = numpy.random.default_rng(seed)
    raw = rng.integers(0, 256, (RECORDS, numeric_width)) if as_bytes else common.exact(rng.normal(size=(RECORDS, numeric_width)))
    values = raw / 255.0 if as_bytes else raw
    category = numpy.stack([rng.integers(0, rows, RECORDS) for rows in buckets], 1) if buckets else numpy.zeros((RECORDS, 0), int)
    labels = (common.exact(rng.normal(size=RECORDS)) if model['head'] == 'linear'
              else rng.integers(0, 2 if model['head'] == 'sigmoid' else model['classes'], RECORDS))
    batches = [rng.permutation(RECORDS)[:rows] for rows in common.batch_sizes(ROWS, SHORT_ROWS)]

    def make_model():
        made = Mlp(model, numeric_width, buckets)
        bounds = {n: 0.5 if n.startswith('embedding') else
                  getattr(made, n.split('.')[0]).in_features ** -0.5 for n, _ in made.named_parameters()}
        common.initialise(made, numpy.random.default_rng(seed + 1), bounds)
        return made

    def loss_of(made, step):
        rows, dtype = batches[step], torch.get_default_dtype()
        out = made(torch.from_numpy(values[rows]).to(dtype), torch.from_numpy(category[rows]))
        losses = row_losses(model['head'], out, torch.from_numpy(labels[rows]).to(dtype))
        if class_weights is not None:
            losses = losses * torch.tensor(class_weights, dtype=dtype)[torch.from_numpy(labels[rows])]
        return losses.sum() / len(rows)

    data = {'numeric_bytes' if as_bytes else 'numeric': common.numbers(raw), 'numeric_width': numeric_width,
            'category': category.reshape(-1).tolist(), 'buckets': list(buckets), 'labels': common.numbers(labels)}
    sections = {'model': model, 'class_weights': class_weights, 'records': data,
                'batches': [rows.tolist() for rows in batches]}
    common.write(name, about, sections, make_model, loss_of, optimizer)


def shape(hidden, activation, head, classes, embedding_width=4):
    return {'type': 'mlp', 'hidden': hidden, 'activation': activation, 'dropout': 0, 'head': head, 'classes': classes,
            'embedding_width': embedding_width}


case('mlp_relu_softmax', 'bytes (value / 255) as of images, two hidden layers', 11, shape([9, 7], 'relu', 'softmax', 5), ADAM, 12, as_bytes=True)
case('mlp_gelu_sigmoid', 'numeric columns, exact gelu, one logit', 21, shape([10, 6], 'gelu', 'sigmoid', 1), ADAM, 8)
case('mlp_tanh_linear', 'regression: the squared error, not halved', 31, shape([8], 'tanh', 'linear', 1),
     {'type': 'sgd', 'lr': 0.05, 'momentum': 0.9}, 7)
case('mlp_table_weights', 'numeric and category columns, class weights', 41, shape([9], 'relu', 'softmax', 3), ADAM, 5, (7, 4, 11),
     class_weights=[0.5, 1.25, 2.0])
case('mlp_no_hidden', 'logistic regression on categories alone', 51, shape([], 'relu', 'sigmoid', 1, 3),
     {'type': 'sgd', 'lr': 0.05, 'momentum': 0.9}, 0, (6, 5), class_weights=[0.75, 1.5])

#!/usr/bin/python3
"""Reference trajectories of the bidirectional LSTM: bilstm_*.json. See README.md."""
import numpy
import torch
from torch import nn
from torch.nn import functional as F

import common

VOCABULARY, EMBEDDING, HIDDEN, LENGTH = 30, 6, 5, 12
RECORDS, ROWS, SHORT_ROWS = 32, 12, 5


class BiLstm(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, EMBEDDING)
        self.lstm = nn.LSTM(EMBEDDING, HIDDEN, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * HIDDEN, classes)

    def forward(self, texts, padding):
        """The last state of each direction; a text without a token has the initial one, zero."""
        if padding == 'compute':
            states = [self.states([0] * (LENGTH - len(text)) + text) for text in texts]
        else:
            states = [self.states(text) for text in texts]
        return self.output(torch.stack(states))

    def states(self, text):
        """One text at a time: nothing here can get padding wrong."""
        if not text:
            return torch.zeros(2 * HIDDEN)
        _, (h, _) = self.lstm(self.embedding(torch.tensor([text])))
        return torch.cat([h[0, 0], h[1, 0]])


def case(name, about, seed, head, classes, padding, optimizer):
    rng = numpy.random.default_rng(seed)
    lengths = [0, 1, LENGTH] + rng.integers(0, LENGTH + 1, RECORDS - 3).tolist()
    texts = [rng.integers(1, VOCABULARY, length).tolist() for length in lengths]
    labels = rng.integers(0, 2 if head == 'sigmoid' else classes, RECORDS)
    batches = [rng.permutation(RECORDS)[:rows] for rows in common.batch_sizes(ROWS, SHORT_ROWS)]
    batches[0][:3] = [0, 1, 2]  # the first step has an empty text, one token, and a full one

    def make_model():
        made = BiLstm(classes)
        bounds = {n: 0.05 if n.startswith('embedding') else HIDDEN ** -0.5 if n.startswith('lstm') else
                  (2 * HIDDEN) ** -0.5 for n, _ in made.named_parameters()}
        common.initialise(made, numpy.random.default_rng(seed + 1), bounds)
        return made

    def loss_of(made, step):
        out = made([texts[i] for i in batches[step]], padding)
        wanted = torch.from_numpy(labels[batches[step]])
        if head == 'sigmoid':
            return F.binary_cross_entropy_with_logits(out[:, 0], wanted.to(out.dtype))
        return F.cross_entropy(out, wanted)

    model = {'type': 'bilstm', 'embedding': EMBEDDING, 'hidden': HIDDEN, 'head': head, 'classes': classes, 'padding': padding}
    data = {'vocabulary': VOCABULARY, 'length': LENGTH, 'tokens': [t for text in texts for t in text],
            'offsets': numpy.concatenate([[0], numpy.cumsum(lengths)]).tolist(), 'labels': labels.tolist()}
    common.write(name, about, {'model': model, 'records': data, 'batches': [rows.tolist() for rows in batches]},
                 make_model, loss_of, optimizer)


ADAM = {'type': 'adam', 'lr': 0.001}
case('bilstm_sigmoid_skip', 'natural lengths 0 to 12', 61, 'sigmoid', 1, 'skip', ADAM)
case('bilstm_softmax_skip', 'three classes, natural lengths', 75, 'softmax', 3, 'skip', ADAM)
case('bilstm_sigmoid_compute', 'padded at the front with token 0, whose row is trained as any other', 81, 'sigmoid', 1, 'compute', ADAM)
case('bilstm_softmax_sgd', 'three classes, SGD with momentum', 91, 'softmax', 3, 'skip', {'type': 'sgd', 'lr': 0.1, 'momentum': 0.9})

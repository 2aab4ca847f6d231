#!/usr/bin/python3
"""Embedding(10000, 128) -> BiLSTM(128) -> Dense(1, sigmoid), binary cross entropy, Adam.

Tokens: [a-z0-9']+ of the lower-cased text; the 9,998 most frequent of the training part, 0 = padding, 1 = other; cut and
padded at the front, as Keras' pad_sequences does. --packed computes no padding (pack_padded_sequence).
--write DIR writes train.tsv and test.tsv, label and text, and ends: the same rows for whoever is compared.
"""
import collections
import gzip
import hashlib
import os
import re

import common

p = common.parser()
p.add_argument('--dataset', choices=['phrasebank', 'imdb'], default='phrasebank')
p.add_argument('--length', type=int, default=100)
p.add_argument('--packed', action='store_true')
p.add_argument('--write')
args = p.parse_args()


def imdb(part):
    with gzip.open(common.data('imdb/%s.tsv.gz' % part), 'rt', encoding='utf-8') as file:
        for line in file:
            label, _, _, text = line.rstrip('\n').split('\t', 3)
            yield text.replace('<br />', ' '), int(label)


def phrasebank(part):
    """Positive against negative sentences; a fifth, chosen by hash, is the test."""
    with open(common.data('financial_phrasebank/Sentences_50Agree.utf8.txt'), encoding='utf-8') as file:
        for line in file:
            text, label = line.rstrip('\n').rsplit('@', 1)
            is_test = hashlib.sha256(text.encode()).digest()[0] < 51
            if label != 'neutral' and is_test == (part == 'test'):
                yield text, int(label == 'positive')


read = imdb if args.dataset == 'imdb' else phrasebank
if args.write:
    for part in ('train', 'test'):
        with open(os.path.join(args.write, part + '.tsv'), 'w', encoding='utf-8') as file:
            file.writelines('%d\t%s\n' % (label, text.replace('\t', ' ')) for text, label in read(part))
    raise SystemExit

rank, world = common.launch(args.procs)
import numpy
import torch
from torch import nn
from torch.nn import functional as F

word = re.compile(r"[a-z0-9']+")
train, test = ([(word.findall(text.lower()), label) for text, label in read(part)] for part in ('train', 'test'))
frequency = collections.Counter(w for words, _ in train for w in words)
vocabulary = {w: i + 2 for i, (w, _) in enumerate(sorted(frequency.items(), key=lambda kv: (-kv[1], kv[0]))[:9998])}


def encode(texts):
    tokens = numpy.zeros((len(texts), args.length), numpy.int64)
    lengths = numpy.ones(len(texts), numpy.int64)
    for row, (words, _) in zip(range(len(texts)), texts):
        kept = [vocabulary.get(w, 1) for w in words[-args.length:]]
        if kept:
            lengths[row] = len(kept)
            tokens[row, :len(kept)] = kept
            if not args.packed:
                tokens[row] = numpy.roll(tokens[row], args.length - len(kept))
    return torch.from_numpy(tokens), torch.from_numpy(lengths), torch.tensor([float(label) for _, label in texts])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(10000, 128)
        self.lstm = nn.LSTM(128, 128, batch_first=True, bidirectional=True)
        self.output = nn.Linear(256, 1)
        nn.init.uniform_(self.embedding.weight, -0.05, 0.05)

    def forward(self, tokens, lengths):
        x = self.embedding(tokens)
        if args.packed:
            x = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, (h, _) = self.lstm(x)
        return self.output(torch.cat([h[0], h[1]], 1))[:, 0]


x, n, y = encode(train)
x_test, n_test, y_test = encode(test)
torch.manual_seed(args.seed)
model = Net()
trained = common.distribute(model, world)
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
clock = common.Clock(args.window, args.batch * world)


def epoch(number):
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1000 * args.seed + number))
    mine = order[rank::world][:len(x) // world // args.batch * args.batch]
    clock.restart()
    for rows in mine.split(args.batch):
        optimizer.zero_grad(set_to_none=True)
        F.binary_cross_entropy_with_logits(trained(x[rows], n[rows]), y[rows]).backward()
        optimizer.step()
        clock.step()
        if clock.steps == args.steps:
            return


number = 0
while number < args.epochs and (args.steps == 0 or clock.steps < args.steps):
    epoch(number)
    number += 1
values = {}
if rank == 0 and args.steps == 0:
    with torch.no_grad():
        scores = torch.cat([model(x_test[i:i + 250], n_test[i:i + 250]) for i in range(0, len(x_test), 250)]).numpy()
    values = dict(auc=common.auc(scores, y_test.numpy()), accuracy=float(((scores > 0) == (y_test.numpy() == 1)).mean()))
if rank == 0:
    common.report(clock, **values)

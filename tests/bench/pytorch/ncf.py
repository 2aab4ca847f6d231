#!/usr/bin/python3
"""GMF, MLP and NeuMF (He et al. 2017) on MovieLens-1M, leave one out, 4 negatives a positive, Adam; 8 factors, layers
64-32-16-8, no pre-training. Embeddings N(0, 0.01), dense Adam on the tables as in the authors' code. HR@10 and NDCG@10 over
the paper's own 99 negatives a user; one that is the test item itself (156 are) does not count, as in the authors' dict."""
import gzip

import common

p = common.parser()
p.add_argument('--variant', choices=['gmf', 'mlp', 'neumf'], default='neumf')
args = p.parse_args()
rank, world = common.launch(args.procs)
import numpy
import torch
from torch import nn
from torch.nn import functional as F

USERS, ITEMS, FACTORS, LAYERS, NEGATIVES, TOP = 6040, 3706, 8, (64, 32, 16, 8), 4, 10


def lines(name):
    with gzip.open(common.data('ml-1m/' + name), 'rt') as file:
        return file.read().splitlines()


pairs = numpy.array([line.split('\t') for line in lines('train.pairs.tsv.gz')], dtype=numpy.int64)
wanted = numpy.array([line.split('\t')[:2] for line in lines('ml-1m.test.rating.gz')], dtype=numpy.int64)
negatives = numpy.array([line.split('\t')[1:] for line in lines('ml-1m.test.negative.gz')], dtype=numpy.int64)
seen = numpy.zeros((USERS, ITEMS), bool)
seen[pairs[:, 0], pairs[:, 1]] = True
candidates = torch.from_numpy(numpy.concatenate([wanted[:, 1:], negatives], 1))
is_wanted = torch.from_numpy(negatives == wanted[:, 1:])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        width = 0
        if args.variant != 'mlp':
            self.gmf_user, self.gmf_item = nn.Embedding(USERS, FACTORS), nn.Embedding(ITEMS, FACTORS)
            width += FACTORS
        if args.variant != 'gmf':
            self.mlp_user, self.mlp_item = nn.Embedding(USERS, LAYERS[0] // 2), nn.Embedding(ITEMS, LAYERS[0] // 2)
            self.mlp = nn.Sequential(*[part for i in range(1, len(LAYERS))
                                       for part in (nn.Linear(LAYERS[i - 1], LAYERS[i]), nn.ReLU())])
            width += LAYERS[-1]
        self.output = nn.Linear(width, 1)
        for name, value in self.named_parameters():
            if '_' in name.split('.')[0]:
                nn.init.normal_(value, 0, 0.01)

    def forward(self, user, item):
        parts = []
        if args.variant != 'mlp':
            parts.append(self.gmf_user(user) * self.gmf_item(item))
        if args.variant != 'gmf':
            parts.append(self.mlp(torch.cat([self.mlp_user(user), self.mlp_item(item)], 1)))
        return self.output(torch.cat(parts, 1))[:, 0]


def evaluate():
    hits = gain = 0.0
    with torch.no_grad():
        for first in range(0, USERS, 604):
            items = candidates[first:first + 604]
            users = torch.arange(first, first + len(items))[:, None].expand_as(items)
            scores = model(users.reshape(-1), items.reshape(-1)).view(items.shape)
            scores[:, 1:][is_wanted[first:first + 604]] = -1e9
            place = (scores[:, 1:] > scores[:, :1]).sum(1)
            place = place[place < TOP].double()
            hits += len(place)
            gain += (numpy.log(2.0) / torch.log(place + 2)).sum().item()
    return hits / USERS, gain / USERS


def samples(rng):
    """All positives and their negatives, shuffled: this epoch's rows, the same in each rank."""
    users, items = numpy.repeat(pairs[:, 0], NEGATIVES), rng.integers(0, ITEMS, NEGATIVES * len(pairs))
    taken = seen[users, items]
    while taken.any():
        items[taken] = rng.integers(0, ITEMS, taken.sum())
        taken = seen[users, items]
    users, items = numpy.concatenate([pairs[:, 0], users]), numpy.concatenate([pairs[:, 1], items])
    labels = (numpy.arange(len(users)) < len(pairs)).astype(numpy.float32)
    order = rng.permutation(len(users))[rank::world]
    return [torch.from_numpy(values[order]) for values in (users, items, labels)]


torch.manual_seed(args.seed)
model = Net()
trained = common.distribute(model, world)
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
clock = common.Clock(args.window, args.batch * world)
rng = numpy.random.default_rng(args.seed)


def epoch():
    users, items, labels = samples(rng)
    clock.restart()
    for first in range(0, len(users) // args.batch * args.batch, args.batch):
        rows = slice(first, first + args.batch)
        optimizer.zero_grad(set_to_none=True)
        F.binary_cross_entropy_with_logits(trained(users[rows], items[rows]), labels[rows]).backward()
        optimizer.step()
        clock.step()
        if clock.steps == args.steps:
            return


number, history = 0, []
while number < args.epochs and (args.steps == 0 or clock.steps < args.steps):
    epoch()
    number += 1
    if rank == 0 and args.steps == 0:
        history.append([round(v, 4) for v in evaluate()])
    if world > 1:
        torch.distributed.barrier()
if rank == 0:
    common.report(clock, **(dict(hr=history[-1][0], ndcg=history[-1][1], history=history) if history else {}))

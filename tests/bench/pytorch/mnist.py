#!/usr/bin/python3
"""MNIST, 784-128-10, ReLU, Adam; input is byte / 255. Batches are slices of tensors in memory, the fastest way there is."""
import common

args = common.parser().parse_args()
rank, world = common.launch(args.procs)
import numpy
import torch
from torch import nn
from torch.nn import functional as F


def read(part):
    images = common.idx(common.data('mnist/%s-images-idx3-ubyte.gz' % part))
    labels = common.idx(common.data('mnist/%s-labels-idx1-ubyte.gz' % part))
    return (torch.from_numpy(images.reshape(len(images), -1).astype(numpy.float32) / 255),
            torch.from_numpy(labels.astype(numpy.int64)))


x, y = read('train')
x_test, y_test = read('t10k')
torch.manual_seed(args.seed)
model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
trained = common.distribute(model, world)
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
clock = common.Clock(args.window, args.batch * world)


def epoch(number):
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1000 * args.seed + number))
    mine = order[rank::world][:len(x) // world // args.batch * args.batch]
    clock.restart()
    for rows in mine.split(args.batch):
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(trained(x[rows]), y[rows]).backward()
        optimizer.step()
        clock.step()
        if clock.steps == args.steps:
            return


number = 0
while number < args.epochs and (args.steps == 0 or clock.steps < args.steps):
    epoch(number)
    number += 1
if rank == 0:
    with torch.no_grad():
        accuracy = (model(x_test).argmax(1) == y_test).float().mean().item()
    common.report(clock, accuracy=accuracy)

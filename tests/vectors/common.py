"""What the scripts that make the reference trajectories share (Debian: python3-torch, python3-numpy).

A case is trained for 20 steps by PyTorch in float64 from initial values that are exact in float32, and once more in
float32: how far that lands from float64 is written beside the trajectory, as the measure of what rounding may do to
another implementation.
"""
import json
import os
import sys

import numpy
import torch

STEPS = 20
FOLDER = os.path.dirname(os.path.abspath(__file__))


def exact(values):
    """Rounded to float32, so that both precisions start from the same numbers."""
    return numpy.asarray(values, dtype=numpy.float32).astype(numpy.float64)


def batch_sizes(full, last):
    """Every tenth batch is a short one, as an epoch's last is."""
    return [last if step % 10 == 9 else full for step in range(STEPS)]


def initialise(model, rng, bounds):
    """U(-b, b) for each parameter; bounds: parameter name -> b."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(torch.from_numpy(exact(rng.uniform(-bounds[name], bounds[name], tuple(value.shape)))))


class Optimizers:
    """One torch optimizer, or two where the embedding tables' is another."""

    def __init__(self, spec, model, tables):
        dense = [p for n, p in model.named_parameters() if n not in tables]
        sparse = [p for n, p in model.named_parameters() if n in tables]
        lr, kind = spec['lr'], spec['type']
        if kind == 'adam' and spec.get('embeddings') == 'sparse':
            self.all = [torch.optim.SparseAdam(sparse, lr=lr), torch.optim.Adam(dense, lr=lr)]
        elif kind == 'adam':
            self.all = [torch.optim.Adam(model.parameters(), lr=lr)]
        elif kind == 'adagrad':
            self.all = [torch.optim.Adagrad(model.parameters(), lr=lr, eps=spec['eps'],
                                            initial_accumulator_value=spec['initial_accumulator'])]
        elif kind == 'sgd':
            self.all = [torch.optim.SGD(model.parameters(), lr=lr, momentum=spec['momentum'])]
        else:
            raise ValueError(kind)

    def zero_grad(self):
        for one in self.all:
            one.zero_grad()

    def step(self):
        for one in self.all:
            one.step()


def snapshot(model):
    return {name: value.detach().double().numpy().copy() for name, value in model.named_parameters()}


def run(make_model, loss_of, spec, tables, dtype):
    """Losses of the 20 steps, each before its update, and the parameters at the start, after step 1 and at the end."""
    torch.set_default_dtype(dtype)
    model = make_model().to(dtype)
    optimizers = Optimizers(spec, model, tables)
    losses, states = [], [snapshot(model)]
    for step in range(STEPS):
        optimizers.zero_grad()
        loss = loss_of(model, step)
        loss.backward()
        optimizers.step()
        losses.append(loss.item())
        if step in (0, STEPS - 1):
            states.append(snapshot(model))
    return losses, states


def number(value):
    value = float('%.9g' % value)
    return int(value) if value == int(value) and abs(value) < 1e9 else value


def numbers(values):
    return [number(v) for v in numpy.asarray(values).reshape(-1)]


def furthest(ours, reference):
    return max(float(numpy.abs(ours[name] - reference[name]).max()) for name in reference)


def write(name, about, sections, make_model, loss_of, spec, tables=()):
    """Runs the case and writes <name>.json beside this file."""
    losses, states = run(make_model, loss_of, spec, tables, torch.float64)
    single_losses, single_states = run(make_model, loss_of, spec, tables, torch.float32)
    document = {
        'about': about,
        'made_by': 'tests/vectors/%s, PyTorch %s, float64' % (os.path.basename(sys.argv[0]), torch.__version__),
        **sections,
        'optimizer': spec,
        'loss': numbers(losses),
        'parameters': {
            when: {key: {'shape': list(value.shape), 'values': numbers(value)} for key, value in state.items()}
            for when, state in zip(('initial', 'after_1', 'after_20'), states)
        },
        'float32_is_off_by': {
            'loss': number(max(abs(a - b) for a, b in zip(losses, single_losses))),
            'parameters': number(max(furthest(a, b) for a, b in zip(single_states, states))),
        },
    }
    path = os.path.join(FOLDER, name + '.json')
    with open(path, 'w') as file:
        file.write('{\n' + ',\n'.join('"%s": %s' % (key, json.dumps(value, separators=(',', ':')))
                                      for key, value in document.items()) + '\n}\n')
    print('%-28s %7d bytes, %s, loss %.6f -> %.6f' % (
        name, os.path.getsize(path), document['float32_is_off_by'], losses[0], losses[-1]))

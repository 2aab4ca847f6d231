#!/usr/bin/env python3
"""Writes optim.json: what PyTorch's optimizers make of given gradients (torch 1.13).

A flat vector of 21 parameters: 5 dense, a table of 4 rows of 3, 4 dense. Sparse cases update the table by
torch.optim.SparseAdam, or by Adagrad or SGD on sparse gradients, of the rows that a step touches.
Run in this folder, with Debian's python3-torch: /usr/bin/python3 make_optim.py > optim.json
"""
import json
import sys

import torch

BEFORE, ROWS, WIDTH, BEHIND, STEPS = 5, 4, 3, 4, 8
COUNT = BEFORE + ROWS * WIDTH + BEHIND
TABLE = slice(BEFORE, BEFORE + ROWS * WIDTH)

CASES = [
    ("sgd", {"lr": 0.1}, False),
    ("sgd", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.02}, False),
    ("adam", {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-8}, False),
    ("adam", {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-4, "weight_decay": 0.05}, False),
    ("adamw", {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}, False),
    ("adagrad", {"lr": 0.05, "eps": 1e-10}, False),
    ("adagrad", {"lr": 0.05, "eps": 1e-6, "initial_accumulator_value": 0.1, "weight_decay": 0.03}, False),
    ("sgd", {"lr": 0.1}, True),
    ("adam", {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-3}, True),
    ("adagrad", {"lr": 0.05, "eps": 1e-6, "initial_accumulator_value": 0.1}, True),
]
DENSE = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW,
         "adagrad": torch.optim.Adagrad}
SPARSE = {"sgd": torch.optim.SGD, "adam": torch.optim.SparseAdam, "adagrad": torch.optim.Adagrad}


def trajectory(kind, options, is_sparse, start, gradients, touched):
    """The parameters after each step."""
    dense = start.clone().requires_grad_()
    table = start[TABLE].reshape(ROWS, WIDTH).clone().requires_grad_()
    optimizers = [DENSE[kind]([dense], **options)]
    if is_sparse:
        optimizers.append(SPARSE[kind]([table], **options))
    after = []
    for gradient, rows in zip(gradients, touched):
        dense.grad = gradient.clone()
        values = gradient[TABLE].reshape(ROWS, WIDTH)[rows]
        table.grad = torch.sparse_coo_tensor(torch.tensor([rows]), values, (ROWS, WIDTH))
        for optimizer in optimizers:
            optimizer.step()
        now = dense.detach().clone()
        if is_sparse:
            now[TABLE] = table.detach().flatten()
        after.append(now.tolist())
    return after


def main():
    torch.manual_seed(4)
    start = torch.randn(COUNT)
    sizes = 10.0 ** (torch.arange(COUNT) % 5 - 3.0)
    gradients = [torch.randn(COUNT) * sizes for _ in range(STEPS)]
    touched = [[0, 2], [1], [0, 1, 2, 3], [2], [0, 3], [0], [1, 2], [0, 1]]
    cases = [{"type": kind, "options": options, "sparse": is_sparse,
              "after": trajectory(kind, options, is_sparse, start, gradients, touched)}
             for kind, options, is_sparse in CASES]
    document = {"made_by": "make_optim.py with torch " + torch.__version__,
                "table": {"offset": BEFORE, "rows": ROWS, "width": WIDTH}, "start": start.tolist(),
                "gradients": [g.tolist() for g in gradients], "touched": touched, "cases": cases}
    # Nine digits tell every float32 apart.
    document = json.loads(json.dumps(document), parse_float=lambda text: float("%.9g" % float(text)))
    json.dump(document, sys.stdout, separators=(",", ":"))
    print()


main()

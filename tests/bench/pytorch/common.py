"""What the PyTorch side of bench_families.c shares (Debian: apt-get install python3-torch python3-numpy).

Every script prints one JSON line. --procs 1 trains in one process, --procs 2 in two over loopback (gloo,
DistributedDataParallel); rank 0 prints. Each process has one thread: OMP_NUM_THREADS and OPENBLAS_NUM_THREADS are set
before torch is imported, because Debian's torch calls an OpenBLAS that keeps a pool of its own, which
torch.set_num_threads does not bound.
"""
import argparse
import gzip
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import time

WARM_UP_STEPS = 3


def data(name):
    root = os.environ.get('REPRISE_DATA')
    if not root:
        sys.exit('REPRISE_DATA is not set')
    return os.path.join(root, name)


def parser():
    p = argparse.ArgumentParser()
    p.add_argument('--procs', type=int, default=1)
    p.add_argument('--batch', type=int, default=64, help='rows of each process in a step')
    p.add_argument('--epochs', type=int, default=1)
    p.add_argument('--steps', type=int, default=0, help='stop after so many; nothing is evaluated then')
    p.add_argument('--window', type=int, default=100, help='steps timed together')
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--lr', type=float, default=1e-3)
    return p


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def launch(procs):
    """Starts this script again, once a rank; returns (rank, world size) in there and never here."""
    if 'RANK' in os.environ:
        import torch
        torch.set_num_threads(1)
        rank, world = int(os.environ['RANK']), int(os.environ['WORLD_SIZE'])
        if world > 1:
            torch.distributed.init_process_group('gloo', rank=rank, world_size=world)
        return rank, world
    env = dict(os.environ, OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1', MASTER_ADDR='127.0.0.1',
               MASTER_PORT=str(free_port()), WORLD_SIZE=str(procs), GLOO_SOCKET_IFNAME='lo')
    ranks = [subprocess.Popen([sys.executable] + sys.argv, env=dict(env, RANK=str(r))) for r in range(procs)]
    sys.exit(max(rank.wait() for rank in ranks))


def distribute(model, world):
    if world == 1:
        return model
    import torch
    return torch.nn.parallel.DistributedDataParallel(model)


class Clock:
    """Rates (rows a second) of windows of `size` steps; the first steps warm up and are not counted."""

    def __init__(self, size, rows_per_step):
        self.size, self.rows, self.steps, self.rates, self.cpu = size, rows_per_step, 0, [], 0.0
        self.restart()

    def restart(self):
        self.in_window, self.began, self.cpu_began = 0, time.perf_counter(), time.process_time()

    def step(self):
        self.steps += 1
        if self.steps <= WARM_UP_STEPS:
            return self.restart()
        self.in_window += 1
        if self.in_window == self.size:
            now = time.perf_counter()
            self.rates.append(self.size * self.rows / (now - self.began))
            self.cpu += time.process_time() - self.cpu_began
            self.restart()


def auc(scores, labels):
    import numpy
    order = numpy.argsort(scores, kind='mergesort')
    rank = numpy.empty(len(scores))
    rank[order] = numpy.arange(1, len(scores) + 1)
    positive = labels.sum()
    negative = len(labels) - positive
    return float((rank[labels == 1].sum() - positive * (positive + 1) / 2) / (positive * negative))


def idx(path):
    import numpy
    raw = gzip.open(path).read()
    dims = [int.from_bytes(raw[4 + 4 * i:8 + 4 * i], 'big') for i in range(raw[3])]
    return numpy.frombuffer(raw, dtype=numpy.uint8, offset=4 + 4 * len(dims)).reshape(dims)


def report(clock, **values):
    if clock.rates:
        values['samples_per_second'] = statistics.harmonic_mean(clock.rates)  # of all timed rows
        values['samples_per_cpu_second'] = len(clock.rates) * clock.size * clock.rows / clock.cpu
    values['resident_bytes'] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(values), flush=True)

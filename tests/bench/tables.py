#!/usr/bin/python3
"""What bench_data.c compares itself with: one CSV file read by Python's csv module (fields as text) and by pandas' C
reader (columns as arrays). Prints seconds of each, the best of nothing: one run. Debian: apt-get install python3-pandas."""
import csv
import sys
import time


def by_csv(path):
    fields = 0
    with open(path, newline='') as file:
        for row in csv.reader(file):
            fields += len(row)
    return fields


def by_pandas(path):
    import pandas
    return pandas.read_csv(path, engine='c').size


import pandas  # noqa: E402  importing is not reading
for read in by_csv, by_pandas:
    start = time.perf_counter()
    read(sys.argv[1])
    print('%.6f' % (time.perf_counter() - start))

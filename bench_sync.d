bench_sync.o: tests/bench/bench_sync.c base/clock.h base/fs.h base/buf.h \
  base/error.h base/compiler.h tests/bench/bench.h trainer/sync/sync.h \
  schema/job_spec.h base/json.h trainer/comm/comm.h \
  trainer/compute/compute.h trainer/optim/optim.h

base/clock.h:

base/fs.h:

base/buf.h:

base/error.h:

base/compiler.h:

tests/bench/bench.h:

trainer/sync/sync.h:

schema/job_spec.h:

base/json.h:

trainer/comm/comm.h:

trainer/compute/compute.h:

trainer/optim/optim.h:

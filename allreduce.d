allreduce.o: trainer/sync/allreduce.c trainer/sync/overlap.h base/error.h \
  base/compiler.h trainer/sync/sync_private.h trainer/sync/sync.h \
  schema/job_spec.h base/json.h base/buf.h trainer/comm/comm.h \
  trainer/compute/compute.h trainer/optim/optim.h trainer/sync/tree.h

trainer/sync/overlap.h:

base/error.h:

base/compiler.h:

trainer/sync/sync_private.h:

trainer/sync/sync.h:

schema/job_spec.h:

base/json.h:

base/buf.h:

trainer/comm/comm.h:

trainer/compute/compute.h:

trainer/optim/optim.h:

trainer/sync/tree.h:

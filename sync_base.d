sync_base.o: trainer/sync/sync_base.c trainer/sync/sync_private.h \
  trainer/sync/sync.h base/error.h base/compiler.h schema/job_spec.h \
  base/json.h base/buf.h trainer/comm/comm.h trainer/compute/compute.h \
  trainer/optim/optim.h

trainer/sync/sync_private.h:

trainer/sync/sync.h:

base/error.h:

base/compiler.h:

schema/job_spec.h:

base/json.h:

base/buf.h:

trainer/comm/comm.h:

trainer/compute/compute.h:

trainer/optim/optim.h:

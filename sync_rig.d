sync_rig.o: tests/unit/sync_rig.c tests/unit/sync_rig.h \
  tests/unit/comm_gang.h trainer/comm/comm.h base/error.h \
  base/compiler.h trainer/sync/sync.h schema/job_spec.h base/json.h \
  base/buf.h trainer/compute/compute.h trainer/optim/optim.h \
  base/clock.h trainer/sync/grad_tree.h

tests/unit/sync_rig.h:

tests/unit/comm_gang.h:

trainer/comm/comm.h:

base/error.h:

base/compiler.h:

trainer/sync/sync.h:

schema/job_spec.h:

base/json.h:

base/buf.h:

trainer/compute/compute.h:

trainer/optim/optim.h:

base/clock.h:

trainer/sync/grad_tree.h:

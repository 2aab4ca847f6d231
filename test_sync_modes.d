test_sync_modes.o: tests/unit/test_sync_modes.c base/clock.h \
  tests/unit/sync_rig.h tests/unit/comm_gang.h trainer/comm/comm.h \
  base/error.h base/compiler.h trainer/sync/sync.h schema/job_spec.h \
  base/json.h base/buf.h trainer/compute/compute.h trainer/optim/optim.h

base/clock.h:

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

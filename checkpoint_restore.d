checkpoint_restore.o: trainer/checkpoint_restore.c base/fs.h base/buf.h \
  base/error.h base/compiler.h trainer/checkpoint.h base/hash.h \
  trainer/events.h schema/wire_event.h base/id.h base/json.h \
  schema/wire_agent.h schema/names.h trainer/model/model.h \
  schema/job_spec.h trainer/compute/compute.h trainer/data/data.h \
  trainer/optim/optim.h trainer/progress.h schema/progress_page.h \
  trainer/sync/sync.h trainer/comm/comm.h trainer/export/safetensors.h

base/fs.h:

base/buf.h:

base/error.h:

base/compiler.h:

trainer/checkpoint.h:

base/hash.h:

trainer/events.h:

schema/wire_event.h:

base/id.h:

base/json.h:

schema/wire_agent.h:

schema/names.h:

trainer/model/model.h:

schema/job_spec.h:

trainer/compute/compute.h:

trainer/data/data.h:

trainer/optim/optim.h:

trainer/progress.h:

schema/progress_page.h:

trainer/sync/sync.h:

trainer/comm/comm.h:

trainer/export/safetensors.h:

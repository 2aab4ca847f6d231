checkpoint.o: trainer/checkpoint.c trainer/checkpoint.h base/hash.h \
  base/error.h base/compiler.h trainer/events.h schema/wire_event.h \
  base/id.h base/json.h base/buf.h schema/wire_agent.h schema/names.h \
  trainer/model/model.h schema/job_spec.h trainer/compute/compute.h \
  trainer/data/data.h trainer/optim/optim.h trainer/progress.h \
  schema/progress_page.h trainer/sync/sync.h trainer/comm/comm.h \
  base/clock.h base/fs.h trainer/export/safetensors.h

trainer/checkpoint.h:

base/hash.h:

base/error.h:

base/compiler.h:

trainer/events.h:

schema/wire_event.h:

base/id.h:

base/json.h:

base/buf.h:

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

base/clock.h:

base/fs.h:

trainer/export/safetensors.h:

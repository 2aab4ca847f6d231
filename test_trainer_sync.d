test_trainer_sync.o: tests/integration/test_trainer_sync.c base/fs.h \
  base/buf.h base/error.h base/compiler.h base/id.h schema/exit_code.h \
  tests/integration/gang.h schema/wire_event.h base/json.h \
  schema/wire_agent.h schema/names.h trainer/export/safetensors.h \
  base/hash.h

base/fs.h:

base/buf.h:

base/error.h:

base/compiler.h:

base/id.h:

schema/exit_code.h:

tests/integration/gang.h:

schema/wire_event.h:

base/json.h:

schema/wire_agent.h:

schema/names.h:

trainer/export/safetensors.h:

base/hash.h:

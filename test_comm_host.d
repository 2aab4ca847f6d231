test_comm_host.o: tests/unit/test_comm_host.c base/fs.h base/buf.h \
  base/error.h base/compiler.h base/hash.h tests/unit/comm_gang.h \
  trainer/comm/comm.h

base/fs.h:

base/buf.h:

base/error.h:

base/compiler.h:

base/hash.h:

tests/unit/comm_gang.h:

trainer/comm/comm.h:

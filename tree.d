tree.o: trainer/sync/tree.c trainer/sync/tree.h base/error.h \
  base/compiler.h trainer/comm/comm.h trainer/compute/compute.h

trainer/sync/tree.h:

base/error.h:

base/compiler.h:

trainer/comm/comm.h:

trainer/compute/compute.h:

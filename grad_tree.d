grad_tree.o: trainer/sync/grad_tree.c trainer/sync/grad_tree.h \
  base/error.h base/compiler.h trainer/compute/compute.h

trainer/sync/grad_tree.h:

base/error.h:

base/compiler.h:

trainer/compute/compute.h:

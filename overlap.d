overlap.o: trainer/sync/overlap.c trainer/sync/overlap.h base/error.h \
  base/compiler.h

trainer/sync/overlap.h:

base/error.h:

base/compiler.h:

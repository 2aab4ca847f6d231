comm.o: trainer/comm/comm.c trainer/comm/comm.h base/error.h \
  base/compiler.h

trainer/comm/comm.h:

base/error.h:

base/compiler.h:

comm_self.o: trainer/comm/comm_self.c trainer/comm/comm.h base/error.h \
  base/compiler.h

trainer/comm/comm.h:

base/error.h:

base/compiler.h:

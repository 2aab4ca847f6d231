net.o: trainer/comm/net.c trainer/comm/net.h base/error.h base/compiler.h \
  base/clock.h base/fs.h base/buf.h

trainer/comm/net.h:

base/error.h:

base/compiler.h:

base/clock.h:

base/fs.h:

base/buf.h:

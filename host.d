host.o: trainer/comm/host.c trainer/comm/host.h schema/progress_page.h \
  trainer/comm/comm.h base/error.h base/compiler.h \
  trainer/comm/handshake.h base/fs.h base/buf.h

trainer/comm/host.h:

schema/progress_page.h:

trainer/comm/comm.h:

base/error.h:

base/compiler.h:

trainer/comm/handshake.h:

base/fs.h:

base/buf.h:

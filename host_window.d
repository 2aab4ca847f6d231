host_window.o: trainer/comm/host_window.c trainer/comm/host.h \
  schema/progress_page.h trainer/comm/comm.h base/error.h \
  base/compiler.h trainer/comm/handshake.h

trainer/comm/host.h:

schema/progress_page.h:

trainer/comm/comm.h:

base/error.h:

base/compiler.h:

trainer/comm/handshake.h:

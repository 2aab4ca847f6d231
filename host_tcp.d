host_tcp.o: trainer/comm/host_tcp.c base/clock.h trainer/comm/host.h \
  schema/progress_page.h trainer/comm/comm.h base/error.h \
  base/compiler.h trainer/comm/handshake.h trainer/comm/net.h

base/clock.h:

trainer/comm/host.h:

schema/progress_page.h:

trainer/comm/comm.h:

base/error.h:

base/compiler.h:

trainer/comm/handshake.h:

trainer/comm/net.h:

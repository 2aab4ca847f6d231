host_open.o: trainer/comm/host_open.c base/clock.h base/fs.h base/buf.h \
  base/error.h base/compiler.h base/pidfd.h trainer/comm/host.h \
  schema/progress_page.h trainer/comm/comm.h trainer/comm/handshake.h \
  trainer/comm/net.h trainer/comm/rendezvous.h

base/clock.h:

base/fs.h:

base/buf.h:

base/error.h:

base/compiler.h:

base/pidfd.h:

trainer/comm/host.h:

schema/progress_page.h:

trainer/comm/comm.h:

trainer/comm/handshake.h:

trainer/comm/net.h:

trainer/comm/rendezvous.h:

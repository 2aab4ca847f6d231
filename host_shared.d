host_shared.o: trainer/comm/host_shared.c base/clock.h \
  trainer/comm/host.h schema/progress_page.h trainer/comm/comm.h \
  base/error.h base/compiler.h trainer/comm/handshake.h

base/clock.h:

trainer/comm/host.h:

schema/progress_page.h:

trainer/comm/comm.h:

base/error.h:

base/compiler.h:

trainer/comm/handshake.h:

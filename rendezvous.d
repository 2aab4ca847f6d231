rendezvous.o: trainer/comm/rendezvous.c trainer/comm/rendezvous.h \
  base/error.h base/compiler.h base/clock.h base/fs.h base/buf.h \
  trainer/comm/handshake.h trainer/comm/net.h \
  trainer/comm/rendezvous_server.h trainer/comm/rendezvous_wire.h

trainer/comm/rendezvous.h:

base/error.h:

base/compiler.h:

base/clock.h:

base/fs.h:

base/buf.h:

trainer/comm/handshake.h:

trainer/comm/net.h:

trainer/comm/rendezvous_server.h:

trainer/comm/rendezvous_wire.h:

rendezvous_store.o: trainer/comm/rendezvous_store.c \
  trainer/comm/rendezvous_store.h base/buf.h base/error.h \
  base/compiler.h trainer/comm/handshake.h \
  trainer/comm/rendezvous_wire.h trainer/comm/rendezvous.h

trainer/comm/rendezvous_store.h:

base/buf.h:

base/error.h:

base/compiler.h:

trainer/comm/handshake.h:

trainer/comm/rendezvous_wire.h:

trainer/comm/rendezvous.h:

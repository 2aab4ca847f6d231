handshake.o: trainer/comm/handshake.c trainer/comm/handshake.h \
  base/error.h base/compiler.h base/hash.h base/id.h trainer/comm/net.h

trainer/comm/handshake.h:

base/error.h:

base/compiler.h:

base/hash.h:

base/id.h:

trainer/comm/net.h:

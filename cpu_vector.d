cpu_vector.o: trainer/compute/cpu/cpu_vector.c trainer/compute/cpu/cpu.h \
  trainer/compute/compute.h base/error.h base/compiler.h

trainer/compute/cpu/cpu.h:

trainer/compute/compute.h:

base/error.h:

base/compiler.h:

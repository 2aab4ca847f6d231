test_compute_vector.o: tests/unit/test_compute_vector.c \
  tests/unit/compute_far.h trainer/compute/compute.h base/error.h \
  base/compiler.h

tests/unit/compute_far.h:

trainer/compute/compute.h:

base/error.h:

base/compiler.h:

#ifndef BASE_COMPILER_H
#define BASE_COMPILER_H

/* compiler.h - the only place that spells GNU attributes. Also compiles as C++ (for .cu files). */

#define MUST_CHECK              __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define CLEANUP(fn)             __attribute__((cleanup(fn)))
#define COUNT_OF(a)             (sizeof(a) / sizeof((a)[0]))

/* A function compiled for several instruction sets; the best is taken when the program is loaded. */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define VECTOR_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define VECTOR_CLONES /* resolvers run before a sanitizer is up */
#endif

#define KIB (1024)
#define MIB (1024 * 1024)

/* TAKE: hand a pointer to a new owner and forget it, so that its CLEANUP does nothing. */
#define TAKE(p)                     \
    __extension__({                 \
        __typeof__(p) taken_ = (p); \
        (p) = NULL;                 \
        taken_;                     \
    })

#endif

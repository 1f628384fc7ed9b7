#ifndef CONVOY_DISPATCH_H
#define CONVOY_DISPATCH_H

/// Compiles a function once for each vector width; the loader picks the widest that this host runs.
#if defined(__x86_64__) && defined(__ELF__) && defined(__OPTIMIZE__)
#define CONVOY_CLONES __attribute__((target_clones("avx512bw", "avx2", "default")))
#else
#define CONVOY_CLONES
#endif

/// In the caller, so that it is compiled for the vector width of the caller.
#define CONVOY_INLINE static inline __attribute__((always_inline))

/// Says that iterations do not touch one another's elements: pointers are equal or disjoint.
#define CONVOY_ELEMENTWISE _Pragma("clang loop vectorize(assume_safety) interleave(enable)")

/// The correctly rounded square root, without errno (which would keep loops from vectorising).
#if __has_builtin(__builtin_elementwise_sqrt)
#define convoy_sqrt(x) __builtin_elementwise_sqrt(x)
#else
#define convoy_sqrt(x) __builtin_sqrtf(x)
#endif

#endif

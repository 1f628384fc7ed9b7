#ifndef CONVOY_DISPATCH_H
#define CONVOY_DISPATCH_H

/// Compiles a function once for each vector width. The loader picks the widest one that this host
/// can run.
#if defined(__x86_64__) && defined(__ELF__) && defined(__OPTIMIZE__)
#define CONVOY_CLONES __attribute__((target_clones("avx512bw", "avx2", "default")))
#else
#define CONVOY_CLONES
#endif

/// Inlines a function into its caller, so that it is compiled for the vector width of the caller.
#define CONVOY_INLINE static inline __attribute__((always_inline, unused))

/// Tells the compiler that no iteration touches the elements of another one: pointers are equal or
/// their ranges are disjoint.
#define CONVOY_ELEMENTWISE _Pragma("clang loop vectorize(assume_safety) interleave(enable)")

/// Computes the correctly rounded square root without setting errno, which would keep loops from
/// being vectorised.
#if __has_builtin(__builtin_elementwise_sqrt)
#define convoy_sqrt(x) __builtin_elementwise_sqrt(x)
#else
#define convoy_sqrt(x) __builtin_sqrtf(x)
#endif

#endif

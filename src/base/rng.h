/* PyTorch's CPU generator: the same seed gives the same noise. */
#ifndef MEBI_BASE_RNG_H
#define MEBI_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* Mersenne Twister 19937, seeded with the low 32 bits of a seed. */
typedef struct mebi__rng {
    uint32_t state[624];
    int next;
    double spare; /* second value of a pair, for short requests */
    int has_spare;
} mebi__rng;

void mebi__rng_seed(mebi__rng *rng, uint64_t seed);
uint32_t mebi__rng_next(mebi__rng *rng);

/* PyTorch has two kernels for 16 values and more, and picks by the machine it runs on; they differ by
 * about 1e-6. Each is reproduced bit for bit, on any machine. */
typedef enum mebi__rng_kernel {
    MEBI__RNG_TORCH_AVX2,   /* PyTorch on a machine with AVX2 but not AVX-512: what pictures use */
    MEBI__RNG_TORCH_SCALAR, /* PyTorch on any other machine */
} mebi__rng_kernel;

/* count standard normal values, as torch.randn(count, generator=...) gives them. */
void mebi__rng_normal(mebi__rng *rng, mebi__rng_kernel kernel, float *out, size_t count);

#endif

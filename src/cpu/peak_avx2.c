/* AVX2's peak loops: chains enough to hide each instruction's latency, nothing but registers. In assembly
 * as a whole, because compilers move sums about between instructions. */
#include "cpu/peak.h"

#include <immintrin.h>

#include <immintrin.h>

#define ALL_REGISTERS                                                                              \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",       \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

#define FMA(n) "vfmadd213ps %%ymm15, %%ymm14, %%ymm" #n "\n\t"

static void f32_avx2(long rounds) {
    static const float a = 0.999f, b = 1e-3f;
    __asm__ volatile("vzeroall\n\tvbroadcastss %[a], %%ymm14\n\tvbroadcastss %[b], %%ymm15\n"
                     "1:\n\t" FMA(0) FMA(1) FMA(2) FMA(3) FMA(4) FMA(5) FMA(6) FMA(7) FMA(8) FMA(9)
                         FMA(10) FMA(11) "dec %[rounds]\n\tjnz 1b\n\tvzeroupper"
                     : [rounds] "+r"(rounds)
                     : [a] "m"(a), [b] "m"(b)
                     : ALL_REGISTERS, "cc");
}

/* u8 x i8 to pairs in i16, pairs to fours in i32, and their sum: what a product without VNNI does. */
#define FOURS(sum, t)                                                                              \
    "vpmaddubsw %%ymm14, %%ymm13, %%ymm" #t "\n\tvpmaddwd %%ymm15, %%ymm" #t ", %%ymm" #t          \
    "\n\tvpaddd %%ymm" #t ", %%ymm" #sum ", %%ymm" #sum "\n\t"

static void int8_avx2(long rounds) {
    static const int8_t a = 3, b = -2;
    static const int16_t one = 1;
    __asm__ volatile("vzeroall\n\tvpbroadcastb %[a], %%ymm13\n\tvpbroadcastb %[b], %%ymm14\n\t"
                     "vpbroadcastw %[one], %%ymm15\n"
                     "1:\n\t" FOURS(0, 8) FOURS(1, 9) FOURS(2, 10) FOURS(3, 11) FOURS(4, 12)
                         FOURS(5, 8) FOURS(6, 9) FOURS(7, 10) "dec %[rounds]\n\tjnz 1b\n\tvzeroupper"
                     : [rounds] "+r"(rounds)
                     : [a] "m"(a), [b] "m"(b), [one] "m"(one)
                     : ALL_REGISTERS, "cc");
}

/* Four streams: with one, a core waits for what it has asked for and reads little more than half. */
static void read_avx2(const unsigned char *from, size_t bytes) {
    __m256i sum[4];
    const size_t quarter = bytes / 4;
    for (int i = 0; i < 4; i++) sum[i] = _mm256_setzero_si256();
    for (size_t at = 0; at < quarter; at += 64)
        for (size_t s = 0; s < 4; s++) {
            const __m256i *line = (const __m256i *)(const void *)(from + s * quarter + at);
            sum[s] = _mm256_add_epi64(sum[s], _mm256_load_si256(line));
            sum[s] = _mm256_add_epi64(sum[s], _mm256_load_si256(line + 1));
        }
    for (int i = 1; i < 4; i++) sum[0] = _mm256_add_epi64(sum[0], sum[i]);
    volatile int sink = _mm_cvtsi128_si32(_mm256_castsi256_si128(sum[0]));
    (void)sink;
}

void mebi__peak_loops_avx2(mebi__peak_loops *loops) {
    loops->f32 = (mebi__peak_loop){f32_avx2, 2 * 8 * 12};
    loops->int8 = (mebi__peak_loop){int8_avx2, 2 * 32 * 8};
    loops->read = read_avx2;
}

/* AVX-512's peak loops. The products of int8 and bf16 are extensions of it: a machine without one keeps
 * the loop that it has. In assembly as a whole, as AVX2's. */
#include "cpu/peak.h"

#define ALL_REGISTERS                                                                              \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",       \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20",  \
        "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30",  \
        "xmm31"

/* One instruction on each of 24 sums, which begin as zeros. */
#define ONE(op, n) op " %%zmm31, %%zmm30, %%zmm" #n "\n\t"
#define CHAINS(op)                                                                                 \
    ONE(op, 0) ONE(op, 1) ONE(op, 2) ONE(op, 3) ONE(op, 4) ONE(op, 5) ONE(op, 6) ONE(op, 7)        \
        ONE(op, 8) ONE(op, 9) ONE(op, 10) ONE(op, 11) ONE(op, 12) ONE(op, 13) ONE(op, 14)          \
            ONE(op, 15) ONE(op, 16) ONE(op, 17) ONE(op, 18) ONE(op, 19) ONE(op, 20) ONE(op, 21)    \
                ONE(op, 22) ONE(op, 23)
#define ZERO(n) "vpxord %%zmm" #n ", %%zmm" #n ", %%zmm" #n "\n\t"
#define ZEROS                                                                                      \
    "vzeroall\n\t" ZERO(16) ZERO(17) ZERO(18) ZERO(19) ZERO(20) ZERO(21) ZERO(22) ZERO(23)

static void f32_avx512(long rounds) {
    static const float a = 0.999f, b = 1e-3f;
    __asm__ volatile(ZEROS "vbroadcastss %[a], %%zmm30\n\tvbroadcastss %[b], %%zmm31\n"
                           "1:\n\t" CHAINS("vfmadd213ps") "dec %[rounds]\n\tjnz 1b\n\tvzeroupper"
                     : [rounds] "+r"(rounds)
                     : [a] "m"(a), [b] "m"(b)
                     : ALL_REGISTERS, "cc");
}

static void bf16_avx512(long rounds) {
    static const uint16_t a = 0x3f80, b = 0x3400; /* 1, and 1.2e-7 */
    __asm__ volatile(ZEROS "vpbroadcastw %[a], %%zmm30\n\tvpbroadcastw %[b], %%zmm31\n"
                           "1:\n\t" CHAINS("vdpbf16ps") "dec %[rounds]\n\tjnz 1b\n\tvzeroupper"
                     : [rounds] "+r"(rounds)
                     : [a] "m"(a), [b] "m"(b)
                     : ALL_REGISTERS, "cc");
}

static void int8_avx512(long rounds) {
    static const int8_t a = 3, b = -2;
    __asm__ volatile(ZEROS "vpbroadcastb %[a], %%zmm30\n\tvpbroadcastb %[b], %%zmm31\n"
                           "1:\n\t" CHAINS("vpdpbusd") "dec %[rounds]\n\tjnz 1b\n\tvzeroupper"
                     : [rounds] "+r"(rounds)
                     : [a] "m"(a), [b] "m"(b)
                     : ALL_REGISTERS, "cc");
}

/* Without VNNI: AVX2's three instructions, twice as wide. */
#define FOURS(sum, t)                                                                              \
    "vpmaddubsw %%zmm30, %%zmm29, %%zmm" #t "\n\tvpmaddwd %%zmm31, %%zmm" #t ", %%zmm" #t          \
    "\n\tvpaddd %%zmm" #t ", %%zmm" #sum ", %%zmm" #sum "\n\t"

static void int8_bw(long rounds) {
    static const int8_t a = 3, b = -2;
    static const int16_t one = 1;
    __asm__ volatile(ZEROS "vpbroadcastb %[a], %%zmm29\n\tvpbroadcastb %[b], %%zmm30\n\t"
                           "vpbroadcastw %[one], %%zmm31\n"
                           "1:\n\t" FOURS(0, 8) FOURS(1, 9) FOURS(2, 10) FOURS(3, 11) FOURS(4, 12)
                               FOURS(5, 13) FOURS(6, 14) FOURS(7, 15) "dec %[rounds]\n\tjnz 1b\n\t"
                                                                      "vzeroupper"
                     : [rounds] "+r"(rounds)
                     : [a] "m"(a), [b] "m"(b), [one] "m"(one)
                     : ALL_REGISTERS, "cc");
}

void mebi__peak_loops_avx512(mebi__peak_loops *loops) {
    __builtin_cpu_init();
    loops->f32 = (mebi__peak_loop){f32_avx512, 2 * 16 * 24};
    loops->int8 = (mebi__peak_loop){int8_bw, 2 * 64 * 8};
    if (__builtin_cpu_supports("avx512vnni"))
        loops->int8 = (mebi__peak_loop){int8_avx512, 2 * 64 * 24};
    if (__builtin_cpu_supports("avx512bf16"))
        loops->bf16 = (mebi__peak_loop){bf16_avx512, 2 * 32 * 24};
}

/* What this machine's processor has and its operating system saves. Must never report more: what is
 * reported is executed. */
#include "cpu/detect.h"

#if defined(__x86_64__)
#include <cpuid.h>

enum { AVX512_VNNI = 1 << 11, AVX_VNNI = 1 << 4, AVX512_BF16 = 1 << 5 }; /* of leaf 7's words */

static mebi__cpu_level level_of_machine(void) {
    unsigned a, b, c = 0, d;
    __builtin_cpu_init();
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_F16C) || !__builtin_cpu_supports("avx2") ||
        !__builtin_cpu_supports("fma"))
        return MEBI__CPU_REF;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return MEBI__CPU_AVX512;
    return MEBI__CPU_AVX2;
}

mebi__cpu_machine mebi__cpu_detect(void) {
    mebi__cpu_machine m = {.level = level_of_machine()};
    unsigned a, b, c, d;
    /* The extensions use the same registers: what saves those serves these. */
    if (m.level >= MEBI__CPU_AVX512 && __get_cpuid_count(7, 0, &a, &b, &c, &d))
        m.avx512_vnni = (c & AVX512_VNNI) != 0;
    if (m.level >= MEBI__CPU_AVX2 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && a >= 1 &&
        __get_cpuid_count(7, 1, &a, &b, &c, &d)) {
        m.avx_vnni = (a & AVX_VNNI) != 0;
        m.avx512_bf16 = m.level >= MEBI__CPU_AVX512 && (a & AVX512_BF16) != 0;
    }
    return m;
}
#else
mebi__cpu_machine mebi__cpu_detect(void) {
    return (mebi__cpu_machine){.level = MEBI__CPU_REF};
}
#endif

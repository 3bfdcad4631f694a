/* The processor's clock, name and instructions. */
#include "doctor/processor.h"

#include "base/os.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { TRIES = 6, TURNS = 1 << 20 }; /* about 1.5 ms each */

double mebi__processor_clock(void) {
    static volatile uint64_t seed = 1; /* the compiler must not know the result */
    double best = 0;
    for (int i = 0; i < TRIES; i++) {
        uint64_t x = seed;
        double began = mebi__now_seconds();
        for (int k = 0; k < TURNS; k++) x = x * 6364136223846793005u + 1442695040888963407u;
        seed = x;
        double seconds = mebi__now_seconds() - began;
        if (seconds > 0 && TURNS / seconds > best) best = TURNS / seconds;
    }
    return best;
}

void mebi__processor_name(char *name, size_t bytes) {
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[256];
    name[0] = 0;
    while (f && !name[0] && fgets(line, sizeof line, f)) {
        const char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !value) continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(name, bytes, "%s", value + 1 + strspn(value + 1, " "));
        for (char *p = name; *p; p++)
            if (*p < ' ' || *p > '~') *p = '?';
    }
    if (f) fclose(f);
}

const char *mebi__processor_best(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return "ref";
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return "avx512";
    return "avx2";
#else
    return "ref";
#endif
}

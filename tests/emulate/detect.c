/* A machine that claims AVX-512, for kernels built with the emulation beside this file. The environment's
 * MEBI_EMULATE says what it has beside it: "vnni", "bf16", both in one word, or nothing. */
#include "cpu/detect.h"

#include <stdlib.h>
#include <string.h>

mebi__cpu_machine mebi__cpu_detect(void) {
    const char *has = getenv("MEBI_EMULATE");
    if (!has) has = "";
    return (mebi__cpu_machine){.level = MEBI__CPU_AVX512,
                               .avx_vnni = strstr(has, "vnni") != NULL,
                               .avx512_vnni = strstr(has, "vnni") != NULL,
                               .avx512_bf16 = strstr(has, "bf16") != NULL};
}

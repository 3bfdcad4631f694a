#include "mebi/mebi.h"

const char *mebi_version(void) {
    return MEBI_VERSION;
}

/* mebi: text to pictures with Z-Image-Turbo. SPDX-License-Identifier: Apache-2.0 */
#ifndef MEBI_H
#define MEBI_H

#include "mebi/bench.h"
#include "mebi/convert.h"
#include "mebi/engine.h"
#include "mebi/file.h"
#include "mebi/image.h"
#include "mebi/quality.h"
#include "mebi/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* "0.1.0" */
MEBI_API const char *mebi_version(void);

#ifdef __cplusplus
}
#endif
#endif

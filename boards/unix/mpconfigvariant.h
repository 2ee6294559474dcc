// SPDX-License-Identifier: MIT
// Variant of ports/unix: what the boards have, on a host system.
#define MICROPY_CONFIG_ROM_LEVEL (MICROPY_CONFIG_ROM_LEVEL_EXTRA_FEATURES)

#include "ports/unix/variants/mpconfigvariant_common.h"

#define MICROPY_PY_MICROPYTHON_HEAP_LOCKED (1)

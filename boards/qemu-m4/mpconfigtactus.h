// SPDX-License-Identifier: MIT
// Read in place of the port's mpconfigport.h (MP_CONFIGFILE): starts from it and says what differs.
#include "ports/qemu/mpconfigport.h"

#undef MICROPY_PY_MACHINE_INCLUDEFILE
#undef MICROPY_PY_SYS_STDIO_BUFFER
#undef MICROPY_PY_SELECT
#undef MICROPY_PY_TIME

#define MICROPY_PY_MACHINE_INCLUDEFILE TACTUS_MODMACHINE_C
#define MICROPY_PY_MACHINE_WDT (1)
#define MICROPY_PY_MACHINE_WDT_INCLUDEFILE TACTUS_MACHINE_WDT_C
#define MICROPY_PY_SYS_STDIO_BUFFER (1)
#define MICROPY_PY_SELECT (1)
#define MICROPY_PY_TIME (1)
#define MICROPY_KBD_EXCEPTION (1)
#define MICROPY_ENABLE_SCHEDULER (1)
#define MICROPY_PY_MICROPYTHON_HEAP_LOCKED (1)

// Python runs once a job and once a message, and its time is in the admission test: speed before
// size.
#define MICROPY_OPT_COMPUTED_GOTO (1)
#define MICROPY_OPT_LOAD_ATTR_FAST_PATH (1)
#define MICROPY_OPT_MAP_LOOKUP_CACHE (1)

// A deep object graph overflows the stock 64 entries, and each overflow rescans the heap.
#define MICROPY_ALLOC_GC_STACK_SIZE (512)
#define MICROPY_GC_STACK_ENTRY_TYPE uint16_t

// What this board never uses is not carried: the RAM of its tables and the flash of their code.
#define MICROPY_PY_FRAMEBUF (0)
#define MICROPY_PY_DEFLATE (0)
#define MICROPY_PY_ONEWIRE (0)
#define MICROPY_PY_MACHINE_BITSTREAM (0)
#define MICROPY_PY_MACHINE_PULSE (0)

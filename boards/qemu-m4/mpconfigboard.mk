# Out-of-tree board of ports/qemu; make is called by host/flash/firmware.py with the variables named in
# device/bindings/micropython/micropython.mk and
#   TACTUS_GCC_FLAGS, TACTUS_RAM_BYTES, TACTUS_HEAP_BYTES, TACTUS_STACK_BYTES   from board.toml
QEMU_ARCH = arm
QEMU_MACHINE = mps2-an386
MICROPY_HEAP_SIZE = 64 # the stock array; the linker drops it
MPY_CROSS_FLAGS += -march=armv7emsp
FROZEN_MANIFEST = $(BOARD_DIR)/manifest.py
LDSCRIPT = $(BOARD_DIR)/qemu-m4.ld
LDFLAGS += -Wl,--defsym=board_ram_bytes=$(TACTUS_RAM_BYTES),--defsym=board_stack_bytes=$(TACTUS_STACK_BYTES)
LDFLAGS += -Wl,--defsym=board_heap_bytes=$(TACTUS_HEAP_BYTES)

$(BUILD)/py/gc.o: CFLAGS += -O3 -funroll-loops # a collection is a piece of background work: 12 % shorter
CFLAGS_EXTRA += -O2 # after the port's own -Os, so that it counts
CFLAGS += $(TACTUS_GCC_FLAGS) -DMICROPY_HW_MCU_NAME='"Cortex-M4F"'
CFLAGS += -DMP_CONFIGFILE='"$(BOARD_DIR)/mpconfigtactus.h"'
CFLAGS += -DTACTUS_MODMACHINE_C='"$(BOARD_DIR)/modmachine.c"' -DTACTUS_MACHINE_WDT_C='"$(BOARD_DIR)/machine_wdt.c"'
CFLAGS += -I$(BOARD_DIR) -I$(TOP)
QSTR_GLOBAL_DEPENDENCIES += $(BOARD_DIR)/mpconfigtactus.h

SRC_C += $(BOARD_DIR)/startup.c $(BOARD_DIR)/interpreter.c
SRC_BOARD_O = shared/runtime/gchelper_native.o shared/runtime/gchelper_thumb2.o

# Strong symbols of the stock port that this board replaces get other names, object by object: no patch.
$(BUILD)/main.o: CFLAGS += -Dmain=stock_main -Dgc_collect=stock_gc_collect
$(BUILD)/mphalport.o: CFLAGS += -Dmp_hal_stdio_poll=stock_stdio_poll -Dmp_hal_stdin_rx_chr=stock_stdin_rx_chr
$(BUILD)/mphalport.o: CFLAGS += -Dmp_hal_stdout_tx_strn=stock_stdout_tx_strn

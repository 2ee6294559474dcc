# The user C module `_tactus`. make is called with (host/flash/firmware.py):
#   TACTUS_ROOT        this source tree
#   TACTUS_GENERATED   folder of tac_board.h
#   TACTUS_PORT_C      the port: device/port/posix.c or the board's port.c
TACTUS_DEVICE := $(TACTUS_ROOT)/device
TACTUS_CORE_C := $(sort $(wildcard $(addprefix $(TACTUS_DEVICE)/,engine/*.c sched/*.c store/*.c link/*.c)))
TACTUS_CORE_C += $(sort $(wildcard $(TACTUS_DEVICE)/bindings/board_*.c)) $(TACTUS_PORT_C)

SRC_USERMOD_C += $(sort $(wildcard $(USERMOD_DIR)/*.c))
SRC_USERMOD_LIB_C += $(TACTUS_CORE_C)
LDFLAGS_USERMOD += -Wl,--wrap=gc_collect
CFLAGS_USERMOD += -I$(TACTUS_DEVICE) -I$(TACTUS_GENERATED)

# Float results must not depend on the target having a fused multiply-add. Engine and dispatcher are the hot part.
TACTUS_OBJECTS = $(addprefix $(BUILD)/,$(patsubst %.c,%.o,$(patsubst $(USER_C_MODULES)/%,%,$(1))))
TACTUS_HOT_C := $(filter $(TACTUS_DEVICE)/engine/% $(TACTUS_DEVICE)/sched/%,$(TACTUS_CORE_C))
$(call TACTUS_OBJECTS,$(TACTUS_CORE_C)): CFLAGS += -std=c11 -Wextra -Wconversion -ffp-contract=off
$(call TACTUS_OBJECTS,$(TACTUS_HOT_C)): CFLAGS += -O2

// SPDX-License-Identifier: MIT
// The port of host systems with a flash that loses power at a chosen operation: the process ends
// there.
#define tac_port_flash_erase whole_erase
#define tac_port_flash_program whole_program
#include "port/posix.c"
#undef tac_port_flash_erase
#undef tac_port_flash_program

enum { EXIT_CUT = 77 };
enum { CUT_BEFORE, CUT_PREFIX, CUT_BITS, CUT_AFTER };

static struct {
    uint32_t left; // operations until the power goes; 0 = it stays
    uint32_t kind;
    uint32_t operations;
    uint32_t random;
} cut;

int tac_port_flash_erase(uint32_t offset);
int tac_port_flash_program(uint32_t offset, const void *data, size_t size);
__attribute__((visibility("default"))) void cut_plan(uint32_t operation, uint32_t kind);
__attribute__((visibility("default"))) uint32_t cut_operations(void);

void cut_plan(uint32_t operation, uint32_t kind) {
    cut.left = operation;
    cut.kind = kind;
    cut.random = 1 + operation * 4 + kind;
    cut.operations = 0;
}

uint32_t cut_operations(void) {
    return cut.operations;
}

static uint8_t random_byte(void) {
    cut.random = cut.random * 1664525u + 1013904223u;
    return (uint8_t)(cut.random >> 24);
}

static int power_goes(void) {
    cut.operations++;
    return cut.left != 0 && --cut.left == 0;
}

int tac_port_flash_erase(uint32_t offset) {
    if (!power_goes()) {
        return whole_erase(offset);
    }
    uint8_t *sector = port.flash + offset;
    for (uint32_t i = 0; i < TAC_BOARD_SECTOR_BYTES && cut.kind != CUT_BEFORE; i++) {
        sector[i] = cut.kind == CUT_AFTER    ? 0xff
                    : cut.kind == CUT_PREFIX ? random_byte()
                                             : (uint8_t)(sector[i] | random_byte());
    }
    _exit(EXIT_CUT);
}

int tac_port_flash_program(uint32_t offset, const void *data, size_t size) {
    if (!power_goes()) {
        return whole_program(offset, data, size);
    }
    const uint8_t *bytes = data;
    const size_t done = cut.kind == CUT_BEFORE ? 0 : cut.kind == CUT_PREFIX ? size / 2 : size;
    for (size_t i = 0; i < done; i++) {
        const uint8_t byte = cut.kind == CUT_BITS ? (uint8_t)(bytes[i] | random_byte()) : bytes[i];
        port.flash[offset + i] &= byte;
    }
    _exit(EXIT_CUT);
}

// SPDX-License-Identifier: MIT
// Built with AddressSanitizer and UBSan by plan_harness.py: reads plan images from stdin, checks
// them and runs the accepted ones on an arena of exactly the size they declare.
// In:  u32 image bytes, u32 arena bytes, u32 flags (1 = run it without the check), image.
// Out: i32 code of tac_plan_check(), after the run.
#define _POSIX_C_SOURCE 200809L // posix_memalign
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/exec.h"

static void *exact(size_t bytes) {
    void *memory = NULL;
    if (posix_memalign(&memory, 16, bytes) != 0) {
        exit(3);
    }
    return memory;
}

int main(void) {
    uint32_t head[3];
    while (fread(head, sizeof head, 1, stdin) == 1) {
        uint8_t *image = exact(head[0]);
        if (fread(image, 1, head[0], stdin) != head[0]) {
            return 2;
        }
        int32_t code = tac_plan_check(image, head[0], head[1]);
        if (code == TAC_OK || (head[2] & 1)) {
            const tac_plan_header_t *header = tac_plan_header(image);
            uint8_t *arena = exact(header->arena_bytes);
            memset(arena, 0xA5, header->arena_bytes);
            tac_model_t model = {.image = image, .arena = arena};
            tac_exec_reset(&model);
            while (tac_exec_step(&model) > 0) {
            }
            for (unsigned i = 0; code == TAC_OK && i < header->output_count; i++) {
                uint32_t bytes;
                uint8_t *output = tac_model_output(&model, i, &bytes);
                memset(output, 0, bytes);
            }
            free(arena);
        }
        free(image);
        fwrite(&code, sizeof code, 1, stdout);
        fflush(stdout);
    }
    return 0;
}

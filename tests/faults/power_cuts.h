// SPDX-License-Identifier: MIT
// What the fault programs count.
#ifndef POWER_CUTS_H
#define POWER_CUTS_H

#include <stdint.h>

typedef struct figures {
    uint64_t points;    // exhaustive: cut points tried
    uint64_t cuts;      // random: cuts that hit
    uint64_t boots;     // random: power-ups
    uint64_t confirmed; // random: packages confirmed in spite of them, or records kept
    uint64_t failures;  // points or seeds that broke an invariant
} figures_t;

typedef struct cut_choice {
    uint32_t geometry, scenario, operation, kind;
} cut_choice_t;

void cut_store_everywhere(figures_t *figures, const cut_choice_t *only);
void cut_telemetry_everywhere(figures_t *figures);
void cut_telemetry_at_random(figures_t *figures, uint64_t first, uint32_t seeds);

#endif

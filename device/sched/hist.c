// SPDX-License-Identifier: MIT
// Log-linear histogram; the index is the one of HdrHistogram with 3 sub-bucket bits.
#include "sched/hist.h"

#include <string.h>

#define SUB_BUCKETS (1u << TAC_HIST_SUB_BITS)

void tac_hist_clear(tac_hist_t *h) {
    memset(h, 0, sizeof *h);
}

unsigned tac_hist_index(uint32_t value_us) {
    if (value_us < SUB_BUCKETS) {
        return value_us;
    }
    unsigned bits = 32u - (unsigned)__builtin_clz(value_us);
    unsigned exponent = bits - 1u - TAC_HIST_SUB_BITS;
    unsigned index =
        ((exponent + 1u) << TAC_HIST_SUB_BITS) + ((value_us >> exponent) - SUB_BUCKETS);
    return index < TAC_HIST_BUCKETS ? index : TAC_HIST_BUCKETS - 1u;
}

uint32_t tac_hist_upper(unsigned index) {
    if (index >= TAC_HIST_BUCKETS) {
        index = TAC_HIST_BUCKETS - 1u;
    }
    if (index < SUB_BUCKETS) {
        return index;
    }
    unsigned exponent = (index >> TAC_HIST_SUB_BITS) - 1u;
    uint32_t mantissa = (index & (SUB_BUCKETS - 1u)) + SUB_BUCKETS;
    return ((mantissa + 1u) << exponent) - 1u;
}

void tac_hist_add(tac_hist_t *h, uint32_t value_us) {
    if (h->n == 0 || value_us < h->min_us) {
        h->min_us = value_us;
    }
    if (value_us > h->max_us) {
        h->max_us = value_us;
    }
    h->n++;
    h->sum_us += value_us;
    unsigned index = tac_hist_index(value_us);
    h->used[index / 32] |= 1u << (index % 32);
    h->buckets[index]++;
}

// SPDX-License-Identifier: MIT
// Log-linear histogram of microseconds: 3 sub-bucket bits, 176 buckets up to 2^24 us, error <= 12.5
// %. Merging is addition. Values of 2^24 us and more count in the last bucket; min, max, sum stay
// exact. Same indexing as protocol/histogram.py (vectors: protocol/vectors/histogram.json).
#ifndef TAC_SCHED_HIST_H
#define TAC_SCHED_HIST_H

#include <stdint.h>

#define TAC_HIST_SUB_BITS 3
#define TAC_HIST_BUCKETS 176

typedef struct tac_hist {
    uint32_t n;
    uint32_t min_us, max_us;
    uint64_t sum_us;
    uint32_t used[(TAC_HIST_BUCKETS + 31) / 32]; // bit per bucket in use: packing visits only these
    uint32_t buckets[TAC_HIST_BUCKETS];
} tac_hist_t;

void tac_hist_clear(tac_hist_t *h);
unsigned tac_hist_index(uint32_t value_us); // 0..175
uint32_t tac_hist_upper(unsigned index);    // largest value of a bucket
void tac_hist_add(tac_hist_t *h, uint32_t value_us);

#endif

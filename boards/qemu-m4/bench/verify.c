// SPDX-License-Identifier: MIT
// What the check of a package costs: host/bench/verification.py loads the cases beside this
// program. Each is a signature, checked step by step, and data, hashed with SHA-256.
#include "bench.h"
#include "store/ed25519.h"
#include "store/sha256.h"

#define CASES ((const uint32_t *)0x21000000u) // their number, then the first

typedef struct bench_case { // then message and data, together padded to 4 bytes
    uint32_t message_bytes, data_bytes;
    uint8_t signature[64], key[32];
} bench_case_t;

BENCH_MARK(bench_mark_empty)   // what a mark itself costs
BENCH_MARK(bench_mark_message) // Ed25519: begin and update
BENCH_MARK(bench_mark_step)    // one step, or the last one
BENCH_MARK(bench_mark_data)    // SHA-256
BENCH_MARK(bench_mark_end)

static const bench_case_t *run(const bench_case_t *one) {
    const uint8_t *message = (const uint8_t *)(one + 1), *data = message + one->message_bytes;
    tac_ed25519_t check;
    tac_sha256_t hash;
    uint8_t digest[32];
    int rc;

    bench_mark_empty();
    bench_mark_message();
    tac_ed25519_begin(&check, one->signature, one->key);
    tac_ed25519_update(&check, message, one->message_bytes);
    do {
        bench_mark_step();
        rc = tac_ed25519_step(&check);
    } while (rc == TAC_ED25519_MORE);
    bench_mark_data();
    tac_sha256_init(&hash);
    tac_sha256_update(&hash, data, one->data_bytes);
    tac_sha256_final(&hash, digest);
    bench_mark_end();
    bench_say_number("verdict", (uint32_t)-rc);
    bench_say_bytes("digest", digest, sizeof digest);
    const uint32_t bytes = (one->message_bytes + one->data_bytes + 3u) / 4u * 4u;
    return (const bench_case_t *)(const void *)(message + bytes);
}

_Noreturn void bench_main(void) {
    const bench_case_t *one = (const bench_case_t *)(const void *)(CASES + 1);
    bench_say_number("check_bytes", sizeof(tac_ed25519_t));
    for (uint32_t left = CASES[0]; left > 0; left--) {
        one = run(one);
    }
    bench_exit(0);
}

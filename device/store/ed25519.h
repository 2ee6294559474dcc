// SPDX-License-Identifier: MIT
// Ed25519 signature check (RFC 8032): Monocypher's group equation over our SHA-512.
#ifndef TAC_STORE_ED25519_H
#define TAC_STORE_ED25519_H

#include <stddef.h>
#include <stdint.h>

// 0 when the signature is good, TAC_ERR_PKG_SIGNATURE otherwise. Rejects S >= L and small-order
// public keys. Verification only: no secrets are handled, so time may depend on the input.
// Cost on a Cortex-M4 (-Os, 300 byte message): 2.0 M instructions, 1.9 kB of stack.
int tac_ed25519_check(const uint8_t signature[64], const uint8_t key[32], const uint8_t *message,
                      size_t size);

#endif

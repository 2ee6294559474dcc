// SPDX-License-Identifier: MIT
#include "engine/kernel.h"

int32_t tac_requantize_left(int32_t value, int32_t multiplier, int32_t shift) {
    uint64_t shifted = (uint64_t)(int64_t)value << shift;
    uint64_t product = shifted * (uint64_t)(int64_t)multiplier + (1u << 30);
    return (int32_t)(uint32_t)(product >> 31);
}

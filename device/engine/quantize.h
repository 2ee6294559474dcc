// SPDX-License-Identifier: MIT
// Quantization of raw sensor counts straight into a model's input.
#ifndef TAC_ENGINE_QUANTIZE_H
#define TAC_ENGINE_QUANTIZE_H

#include <stdint.h>

// out[i] = clamp(rint((float)samples[i] * lsb * inv_scale) + zero_point, -128, 127) in float32 and
// in this order, ties to even: equal to torch's quantize_per_tensor(counts.float() * lsb, scale,
// zero_point) with inv_scale = 1.0f / scale. zero_point: -128..127. samples and out do not overlap.
void tac_quantize_i16(const int16_t *samples, uint32_t count, float lsb, float inv_scale,
                      int32_t zero_point, int8_t *out);

#endif

#pragma once

#include "measure/quantizer.h"

namespace moe {

/// The same as quantizer.run(quantizer, run), bit for bit (a zero may differ in its sign in
/// `biases`), by the SIMD target in use. `run.x` is finite and `run.codes` null.
void QuantizeGroups(const Quantizer& quantizer, GroupRun& run);

}  // namespace moe

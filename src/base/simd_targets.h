#pragma once

// Include before Highway in every file of kernels.
// The kernels keep vectors in arrays, which vectors of unknown length can't do: machines with SVE
// (Graviton, Grace) are served by NEON, those with RVV by the portable target.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

// Plugins that misbehave in one way each, chosen by the macro MOE_STUB at build time.

#include "mlx/plugin_abi.h"

#define MOE_STUB_QUANTIZE_FAILS 1
#define MOE_STUB_FEWER_ROWS 2
#define MOE_STUB_OTHER_VERSION 3
#define MOE_STUB_NO_ENTRY 4

namespace {

[[maybe_unused]] const float kZeros[64] = {};

void Quantize(const MoeMlxRequest* request, MoeMlxResult* result) {
  *result = {};
#if MOE_STUB == MOE_STUB_FEWER_ROWS
  result->rows = request->rows - 1;
  result->w_hat = kZeros;
  result->w_hat_count = 32;
  result->scales = kZeros;
  result->scale_count = 1;
#else
  (void)request;
  result->error = "RuntimeError: [stub] quantize fails";
#endif
}

void Release(MoeMlxResult* result) { *result = {}; }

const char* SelectDevice(const char* /*device*/) { return "cpu"; }

[[maybe_unused]] constexpr MoeMlxPlugin kPlugin{
    MOE_STUB == MOE_STUB_OTHER_VERSION ? MOE_MLX_ABI_VERSION + 1 : MOE_MLX_ABI_VERSION,
    "0.0.0-stub", SelectDevice, Quantize, Release};

}  // namespace

#if MOE_STUB == MOE_STUB_NO_ENTRY
extern "C" int NothingOfOurs() { return 0; }
#else
extern "C" const MoeMlxPlugin* moescope_mlx_plugin() { return &kPlugin; }
#endif

#pragma once

// What passes between moescope and moescope_mlx.so, the only object that links the real MLX. Plain
// C types, so that neither side cares with which compiler or C++ library the other was built.
//
// Change anything here and MOE_MLX_ABI_VERSION with it: a plugin of another version is not used.

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MOE_MLX_ABI_VERSION 1
/* The one symbol of a plugin, a MoeMlxEntry. */
#define MOE_MLX_ENTRY_NAME "moescope_mlx_plugin"

typedef enum { MOE_MLX_F32 = 0, MOE_MLX_F16 = 1, MOE_MLX_BF16 = 2 } MoeMlxDType;

/* A [rows, cols] matrix to be quantized and dequantized in `dtype`. */
typedef struct {
  uint64_t rows, cols;
  const float* weights; /* [rows, cols] row-major, values exact in dtype */
  MoeMlxDType dtype;
  const char* mode;
  int64_t bits, group_size;
} MoeMlxRequest;

/* What mx.quantize and mx.dequantize gave. If `error` is set, nothing else is. Everything belongs
 * to the plugin and lives until release(). */
typedef struct {
  uint64_t rows; /* rows of w_hat */
  const uint32_t* codes;
  uint64_t code_count;
  const float* scales; /* affine: the values; other modes: the raw byte, 0 to 255 */
  uint64_t scale_count;
  const float* biases; /* affine only */
  uint64_t bias_count;
  const float* w_hat;
  uint64_t w_hat_count;
  const char* error; /* "ValueError: text", as Python would show it; null: no error */
  void* owner;
} MoeMlxResult;

typedef struct MoeMlxPlugin {
  uint32_t abi_version; /* MOE_MLX_ABI_VERSION of the plugin's build */
  const char* version;  /* of MLX: "0.32.4" */
  /* Selects "cpu" or "gpu" for all later calls; another word, or a device that is not there, leaves
   * MLX's default. Returns the name of the device in use. */
  const char* (*select_device)(const char* device);
  /* Called by one thread at a time. Never throws; fills all of `result`. */
  void (*quantize)(const MoeMlxRequest* request, MoeMlxResult* result);
  void (*release)(MoeMlxResult* result);
} MoeMlxPlugin;

typedef const MoeMlxPlugin* (*MoeMlxEntry)(void);

#ifdef __cplusplus
}
#endif

#pragma once

// The whole library: open a checkpoint, look at its experts, read and measure their weights.
//
//   model.h       Model::Open(): every tensor with its role, every expert's matrix by its key
//   measure.h     MeasureMatrix(): statistics, and the error of quantization schemes
//   quantize.h    the schemes, and a whole matrix quantized bit for bit as MLX does
//   experts.h     which tensors are experts; rules of one's own
//   weight.h      a weight whatever tensors hold it, decoded in tiles
//   checkpoint.h  one container file: its tensors and their bytes

#include "moescope/checkpoint.h"
#include "moescope/dtype.h"
#include "moescope/error.h"
#include "moescope/experts.h"
#include "moescope/matrix.h"
#include "moescope/matrix_view.h"
#include "moescope/measure.h"
#include "moescope/model.h"
#include "moescope/model_facts.h"
#include "moescope/quantize.h"
#include "moescope/scan_options.h"
#include "moescope/stop_token.h"
#include "moescope/weight.h"

#pragma once

#include <memory>

#include "base/byte_source.h"
#include "moescope/checkpoint.h"
#include "moescope/error.h"
#include "moescope/stop_token.h"

namespace moe {

/// Opens a .npz archive: reads its directory and the header of every member. A member `NAME.npy`
/// is the tensor NAME; other members are inventoried as opaque bytes under their own names.
/// Errors as ReadZipDirectory() and ParseNpyHeader() have them. `stop` as in OpenTensorFile().
Result<std::unique_ptr<TensorFile>> OpenNpz(std::shared_ptr<const ByteSource> file,
                                            const StopToken& stop = {});

}  // namespace moe

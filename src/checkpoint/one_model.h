#pragma once

#include <memory>
#include <span>

#include "moescope/checkpoint.h"

namespace moe {

/// Fails (kUnsupported, naming them) when the open `files` (null ones are passed over) are of more
/// than one model. Files of one model complement each other, whatever their names. It is several
/// models when
///   two GGUF files (split ones count once) both name an architecture;
///   a tensor stands in two files that are no parts of one set, also where the names differ only in
///   what models are wrapped in ("model.", "language_model.", ...);
///   the experts of one layer are in two such files under different modules, or in one as matrices
///   and in the other as stacks;
///   experts of one form have other shapes in two files (rows of numbered files count once);
///   two sets of parts differ in nothing but how many parts they are of.
Result<void> CheckOneModel(std::span<const std::unique_ptr<TensorFile>> files);

}  // namespace moe

#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moe {

/// The file name of one part of a model that is split into several files, as publishers write them:
/// "model-00002-of-00003.safetensors", "model.safetensors-00002-of-00003.safetensors",
/// "m_2_of_3.npz", "m.part2of3.gguf": two numbers with "of" between them.
struct PartName {
  std::string before, between, after;  ///< the texts around the two numbers
  uint64_t number = 0, count = 0;
  size_t width = 0;  ///< of the number; shorter ones are filled with zeros

  std::string NameOf(uint64_t other_number) const;
  bool IsOfSameSet(const PartName& other) const;
};

/// nullopt for a name of another form, for numbers of more than six digits, and for a count of 0.
std::optional<PartName> ParsePartName(std::string_view file_name);

/// What is not there of a model that is split into several files.
struct MissingShards {
  uint64_t expected = 0;                ///< files of the sets that lack some
  std::vector<std::string> names;       ///< file names of those that aren't there, in order
  std::optional<uint64_t> tensors;      ///< that they hold, where an index says so
  bool of_gguf = false;                 ///< one of the sets is of GGUF files
  std::vector<std::string> unfinished;  ///< files of downloads that did not end
  /// All others of the only file's set, as its name counts without zeros in front: the numbers of
  /// "step-100-of-5000.npz" may be of something else than parts.
  bool lone = false;

  bool empty() const { return names.empty(); }
  /// "1 of 3 shards is missing: model-00002-of-00003.safetensors, 38 tensors"
  /// "the only shard is missing: model.safetensors; unfinished: model.safetensors.part"
  std::string Text() const;
};

/// What `files` lack of the sets that their names tell of. Parts count from 1; from 0 where there
/// is a part 0 (of GGUF always from 1). A copy by its name ("... (1).gguf") is the part it is of.
MissingShards FindMissingParts(std::span<const std::filesystem::path> files);

/// The number at the end of a name, before its suffix: "w-" 3 ".npz" of "w-3.npz".
std::optional<PartName> LastNumber(std::string_view file_name);

/// Names that a row of numbered files ("w-00.npz", "w-02.npz") lacks, from 0 where there is a 0,
/// else from 1, to the last. Two files at least, and no more lacking than there: else the numbers
/// are of something else.
struct NumberGaps {
  MissingShards missing;
  std::vector<std::string> doubtful;  ///< of layers ("layer-1.npz"): may be left out on purpose
};
NumberGaps FindNumberGaps(std::span<const std::filesystem::path> files);

/// "a, b, c"; of many the first ten and their count. Fit for a message.
std::string NameList(const std::vector<std::string>& names);

}  // namespace moe

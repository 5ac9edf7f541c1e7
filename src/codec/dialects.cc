#include "codec/dialects.h"

#include <fmt/format.h>

#include <algorithm>

#include "checkpoint/names.h"

namespace moe {
namespace {

// ---- keys of several dialects ----

void ReadBlock(const Json& object, std::string_view key, QuantWords& words) {
  const Json* value = object.Find(key);
  const auto block = value ? BlockOf(*value) : std::nullopt;
  if (!block) return;
  if (words.strategy.empty()) words.strategy = "block";
  words.block_rows = block->rows;
  words.block_cols = block->cols;
}

/// The keys that are numbers, flags, blocks and texts: another value is a statement that nobody
/// can compare.
struct KnownKey {
  std::string_view name;
  bool (*reads)(const Json& value);
};
constexpr auto kIsCount = [](const Json& value) { return CountOf(value).has_value(); };
constexpr auto kIsGroup = [](const Json& value) { return GroupOf(value).has_value(); };
constexpr auto kIsFlag = [](const Json& value) { return FlagOf(value).has_value(); };
constexpr auto kIsBlock = [](const Json& value) { return BlockOf(value).has_value(); };
constexpr auto kIsText = [](const Json& value) { return value.is_string(); };
constexpr KnownKey kKnownKeys[] = {
    {"bits", kIsCount},
    {"w_bit", kIsCount},
    {"num_bits", kIsCount},
    {"group_size", kIsGroup},
    {"q_group_size", kIsGroup},
    {"sym", kIsFlag},
    {"symmetric", kIsFlag},
    {"zero_point", kIsFlag},
    {"desc_act", kIsFlag},
    {"global_scale", kIsFlag},
    {"load_in_4bit", kIsFlag},
    {"load_in_8bit", kIsFlag},
    {"weight_block_size", kIsBlock},
    {"block_structure", kIsBlock},
    {"mode", kIsText},
    {"type", kIsText},
    {"strategy", kIsText},
};

void NoteUnreadable(const Json& object, QuantWords& words) {
  for (const KnownKey& key : kKnownKeys) {
    const Json* value = object.Find(key.name);
    if (!value || value->is_null() || key.reads(*value)) continue;
    // AutoRound's group_size is 0 for a scale by tensor, [rows, columns] for blocks.
    if (key.name == "group_size" && words.method == "auto-round") continue;
    constexpr size_t kShown = 40;
    const std::string text = value->Text({.ascii = true});
    words.demand =
        fmt::format("a readable {}, not {}", key.name, Printable(text.substr(0, kShown)));
  }
}

// ---- ModelOpt's quant_algo ----

/// What ModelOpt's quant_algo means (its export/quant_utils).
struct Algorithm {
  std::string_view name, type;
  uint64_t bits;
  std::string_view strategy;
  uint64_t size;  // of a group, or of a block's sides
};
constexpr Algorithm kAlgorithms[] = {
    {"fp8", "float", 8, "tensor", 0},
    {"fp8_per_channel_per_token", "float", 8, "channel", 0},
    {"fp8_pc_pt", "float", 8, "channel", 0},
    {"fp8_pb_wo", "float", 8, "block", 128},
    {"fp8_pb_real", "float", 8, "block", 128},
    {"nvfp4", "float", 4, "tensor_group", 16},
    {"nvfp4_awq", "float", 4, "tensor_group", 16},
    {"nvfp4_svd", "float", 4, "tensor_group", 16},
    {"w4a8_nvfp4_fp8", "float", 4, "tensor_group", 16},
    {"w4a16_nvfp4", "float", 4, "tensor_group", 16},
    {"mxfp4", "float", 4, "group", 32},
    {"w4a8_mxfp4_fp8", "float", 4, "group", 32},
    {"mxfp8", "float", 8, "group", 32},
    {"w8a8_sq_per_channel", "int", 8, "channel", 0},
};

/// The row of quant_algo; nullptr: none is named, or another one.
const Algorithm* AlgorithmOf(const Json& object) {
  const std::string name = TextAt(object, "quant_algo");
  const auto row = std::find_if(std::begin(kAlgorithms), std::end(kAlgorithms),
                                [&](const Algorithm& known) { return known.name == name; });
  return row == std::end(kAlgorithms) ? nullptr : row;
}

/// A group of weights beside quant_algo, which is that of all groups.
void CheckAlgorithm(const Json& object, QuantWords& words) {
  const Algorithm* algorithm = AlgorithmOf(object);
  if (!algorithm || words.bits.value_or(algorithm->bits) == algorithm->bits) return;
  words.demand =
      fmt::format("one quant_algo and num_bits, not {} and {}", algorithm->name, *words.bits);
}

void ReadAlgorithm(const Json& object, QuantWords& words) {
  const Algorithm* algorithm = AlgorithmOf(object);
  if (!algorithm) return;
  words.type = algorithm->type;
  words.bits = algorithm->bits;
  words.strategy = algorithm->strategy;
  words.group.reset();
  if (algorithm->strategy == "block") {
    words.block_rows = words.block_cols = algorithm->size;
  } else if (algorithm->size > 0) {
    words.group = GroupAt(object, {"group_size"}).value_or(algorithm->size);
  }
}

}  // namespace

void ReadFlat(const Json& object, QuantWords& words) {
  const auto read = [](auto& word, auto value) {
    if (value) word = value;
  };
  read(words.bits, CountAt(object, {"bits", "w_bit"}));
  read(words.group, GroupAt(object, {"group_size", "q_group_size"}));
  read(words.symmetric, FlagAt(object, "sym"));
  if (const auto zeros = FlagAt(object, "zero_point")) words.symmetric = !*zeros;  // of AWQ
  read(words.act_order, FlagAt(object, "desc_act"));
  read(words.global_scale, FlagAt(object, "global_scale"));
  if (words.method.empty()) words.mode = TextAt(object, "mode");
  if (FlagAt(object, "act_group_aware") == true) words.act_order.reset();
  ReadBlock(object, "weight_block_size", words);
  NoteUnreadable(object, words);
  if (words.method == "fbgemm_fp8") words.strategy = "channel";
  if (words.method == "mxfp8") {
    words.strategy = "group";
    words.group = 32;
  }
  ReadAlgorithm(object, words);
}

void ReadGroup(const Json& weights, QuantWords& words) {
  words.bits = CountAt(weights, {"num_bits"});
  words.group = GroupAt(weights, {"group_size"});
  words.type = TextAt(weights, "type");
  words.strategy = TextAt(weights, "strategy");
  words.symmetric = FlagAt(weights, "symmetric");
  const std::string order = TextAt(weights, "actorder");
  words.act_order = FlagAt(weights, "actorder");
  if (order == "group") words.act_order = true;
  if (order == "weight" || order == "static") words.act_order = false;
  ReadBlock(weights, "block_structure", words);
  NoteUnreadable(weights, words);
  CheckAlgorithm(*words.object, words);
}

void ReadPreset(const std::string& name, QuantWords& words) {
  const auto of = [&](std::string_view type, uint64_t bits, std::optional<uint64_t> group) {
    words.type = type;
    words.bits = bits;
    words.group = group;
  };
  const bool digit = name.size() > 2 && name[1] >= '1' && name[1] <= '9';
  if (name.starts_with("NVFP4")) of("float", 4, 16);
  for (const uint64_t bits : {4, 6, 8}) {
    if (name.starts_with(fmt::format("MXFP{}", bits))) of("float", bits, 32);
  }
  if (name.starts_with("FP8")) of("float", 8, std::nullopt);
  if (name.starts_with("INT8")) of("int", 8, std::nullopt);
  if (name[0] == 'W' && digit && name[2] == 'A') {
    of("int", static_cast<uint64_t>(name[1] - '0'), std::nullopt);
    words.symmetric = !name.ends_with("_ASYM");
  }
}

}  // namespace moe

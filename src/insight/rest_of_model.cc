#include "insight/rest_of_model.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "tables/aggregate.h"

namespace moe {
namespace {

constexpr std::string_view kAttention = "attention";

Result<Frame> Read(Run& run, const RunTable& table, const std::vector<WantedColumn>& wanted) {
  return run.Open(table.path).and_then([&](const auto* reader) { return reader->Read(wanted); });
}

/// The groups of one kind while they are filled, by what their weights have in common.
template <class Key>
class DenseGroups {
 public:
  using KeyOf = std::optional<Key> (*)(const Frame& frame, uint64_t row);
  explicit DenseGroups(KeyOf key) : key_(key) {}

  void AddStats(const Frame& stats, uint64_t row) {
    const auto key = key_(stats, row);
    if (!key) return;
    DenseGroup& group = groups_[*key].group;
    group.role = TextOr(stats.at("role"), row);
    group.layer = stats.at("layer").ints[row];
    const auto weights =
        static_cast<uint64_t>(stats.at("rows").ints[row] * stats.at("cols").ints[row]);
    ++group.matrices;
    group.weights += weights;
    group.bytes +=
        static_cast<double>(weights) * stats.at("storage_bits_per_weight").doubles[row] / 8;
  }

  void AddError(const Frame& quant, uint64_t row) {
    const auto key = key_(quant, row);
    const uint32_t scheme = quant.at("scheme").codes[row];
    if (!key || scheme == FrameColumn::kNullCode) return;
    Filling& filling = groups_[*key];
    filling.errors.resize(quant.at("scheme").dictionary.size());
    filling.group.schemes.resize(filling.errors.size());
    DenseErrors& errors = filling.group.schemes[scheme];
    const double error = quant.at("w_rel_fro").doubles[row];
    if (std::isnan(error)) {
      ++errors.failed;
      return;
    }
    filling.errors[scheme].push_back(error);
    if (errors.worst && *errors.worst >= error) return;
    errors.worst = error;
    errors.worst_module = TextOr(quant.at("module"), row);
  }

  std::vector<DenseGroup> Take() {
    std::vector<DenseGroup> list;
    for (auto& [key, filling] : groups_) {
      for (size_t s = 0; s < filling.errors.size(); ++s) {
        auto& errors = filling.errors[s];
        if (!errors.empty()) filling.group.schemes[s].median = Quantile(errors, 0.5);
      }
      list.push_back(std::move(filling.group));
    }
    return list;
  }

 private:
  struct Filling {
    DenseGroup group;
    std::vector<std::vector<double>> errors;  // by scheme
  };
  KeyOf key_;
  std::map<Key, Filling> groups_;
};

std::optional<std::string> RoleAt(const Frame& frame, uint64_t row) {
  return TextOr(frame.at("role"), row);
}

std::optional<int64_t> AttentionLayerAt(const Frame& frame, uint64_t row) {
  const int64_t layer = frame.at("layer").ints[row];
  if (layer < 0 || TextOr(frame.at("role"), row) != kAttention) return std::nullopt;
  return layer;
}

}  // namespace

Result<std::optional<RestOfModel>> ReadRestOfModel(Run& run) {
  const RunTable *stats_table = run.Find("dense_stats"), *quant_table = run.Find("dense_quant_sim");
  if (stats_table == nullptr || quant_table == nullptr) return std::nullopt;
  const auto stats = Read(run, *stats_table,
                          {{"role", ColumnType::kString},
                           {"layer", ColumnType::kInt64},
                           {"rows", ColumnType::kInt64},
                           {"cols", ColumnType::kInt64},
                           {"storage_bits_per_weight", ColumnType::kDouble}});
  if (!stats) return tl::make_unexpected(stats.error());
  const auto quant = Read(run, *quant_table,
                          {{"role", ColumnType::kString},
                           {"layer", ColumnType::kInt64},
                           {"module", ColumnType::kString},
                           {"scheme", ColumnType::kString},
                           {"w_rel_fro", ColumnType::kDouble}});
  if (!quant) return tl::make_unexpected(quant.error());
  DenseGroups<std::string> roles(RoleAt);
  DenseGroups<int64_t> attention(AttentionLayerAt);
  for (uint64_t row = 0; row < stats->rows; ++row) {
    roles.AddStats(*stats, row);
    attention.AddStats(*stats, row);
  }
  for (uint64_t row = 0; row < quant->rows; ++row) {
    roles.AddError(*quant, row);
    attention.AddError(*quant, row);
  }
  RestOfModel rest{quant->at("scheme").dictionary, roles.Take(), attention.Take()};
  std::ranges::stable_sort(rest.roles, std::ranges::greater(), &DenseGroup::weights);
  return rest;
}

}  // namespace moe

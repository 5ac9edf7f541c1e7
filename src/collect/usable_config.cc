#include "collect/usable_config.h"

#include <fmt/format.h>

#include "moescope/experts.h"

namespace moe {
namespace {

/// The extractor names a rule by its name; a config's reader wants its place too.
std::string PointerOf(const Config& config, const std::string& where) {
  for (size_t i = 0; i < config.extract.rules.size(); ++i) {
    if (where == "rule '" + config.extract.rules[i].name + "'") {
      return fmt::format("/extract_rules/{}/match: {}", i, where);
    }
  }
  return where;
}

}  // namespace

Result<void> CheckUsable(const Config& config, const std::filesystem::path& path) {
  const auto extractor = Extractor::Create(config.extract);
  if (extractor) return {};
  Error error = extractor.error();
  error.where = path.string() + " " + PointerOf(config, error.where);
  return tl::make_unexpected(std::move(error));
}

}  // namespace moe

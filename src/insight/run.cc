#include "insight/run.h"

#include <algorithm>
#include <system_error>

#include "run/commit_marker.h"
#include "run/logs.h"

namespace moe {

namespace fs = std::filesystem;

Result<void> Run::Check(std::span<const std::string_view> commands) const {
  std::error_code failed;
  if (fs::is_directory(dir_, failed)) return CheckCommitted(dir_, commands);
  return Fail(ErrorCode::kNotFound, dir_.string(), "no such run directory");
}

const Json& Run::Names() {
  if (!names_) names_ = RunJson(dir_);
  return *names_;
}

const Json& Run::Log(const std::string& name) {
  const auto found = logs_.find(name);
  return found != logs_.end() ? found->second : logs_[name] = ReadLog(dir_, name);
}

const Config& Run::UsedConfig() {
  if (config_) return *config_;
  const Json used = Log("run_health.json")["config_used"];
  auto config = used.is_object() ? ParseConfig(used.Text(), "config_used")
                                 : LoadConfig(dir_ / "analysis_config.json");
  return config_.emplace(config ? std::move(*config) : DefaultConfig());
}

const std::vector<RunTable>& Run::Tables() {
  if (!tables_) tables_ = ListRunTables(dir_);
  return *tables_;
}

const RunTable* Run::Find(std::string_view table) {
  const auto found = std::ranges::find(Tables(), table, &RunTable::name);
  return found == Tables().end() ? nullptr : &*found;
}

Result<const TableReader*> Run::Open(const fs::path& path) {
  auto found = readers_.find(path);
  if (found == readers_.end()) found = readers_.emplace(path, TableReader::Open(path)).first;
  if (!found->second) return tl::make_unexpected(found->second.error());
  return found->second->get();
}

const Result<RunMatrices>& Run::Matrices() {
  if (!matrices_) matrices_ = ReadRunMatrices(*this);
  return *matrices_;
}

}  // namespace moe

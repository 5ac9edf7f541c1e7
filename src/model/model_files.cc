#include "model/model_files.h"

#include "model/location.h"

namespace moe {

ModelFiles FindModelFiles(const std::string& text, const ModelOptions& options) {
  ModelFiles files;
  files.options = options.scan;
  auto located = LocateModel(text);
  if (!located) {
    files.fault = std::move(located.error());
    return files;
  }
  files.located = true;
  files.path = std::move(located->path);
  files.metadata = ReadModelMetadata(files.path, options.config_path);
  files.index = FindShardIndex(files.path, files.options);
  files.index_searched = true;
  auto scan = PlanScan(files.path, files.options, files.index);
  if (scan) {
    files.scan = std::move(*scan);
  } else {
    files.fault = std::move(scan.error());
  }
  return files;
}

}  // namespace moe

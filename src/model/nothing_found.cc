#include "model/nothing_found.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/text.h"
#include "base/utf8.h"
#include "checkpoint/containers.h"
#include "checkpoint/download_names.h"
#include "checkpoint/names.h"
#include "checkpoint/walk.h"
#include "model/model_parts.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr size_t kShownFiles = 3;

/// Files that hold weights and are not read.
struct OtherKind {
  std::string_view suffix, what, hint;
};
constexpr std::string_view kConvert =
    "convert it to safetensors, for one with transformers: "
    "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)";
constexpr std::string_view kDownload = "finish the download";
constexpr OtherKind kOtherKinds[] = {
    {".bin", "a pickled PyTorch checkpoint, which is not read", kConvert},
    {".pt", "a pickled PyTorch checkpoint, which is not read", kConvert},
    {".pth", "a pickled PyTorch checkpoint, which is not read", kConvert},
    {".ckpt", "a pickled PyTorch checkpoint, which is not read", kConvert},
    {".pkl", "a pickled checkpoint, which is not read", kConvert},
    {".h5", "a Keras checkpoint, which is not read", kConvert},
    {".msgpack", "a Flax checkpoint, which is not read", kConvert},
    {".ggml", "a GGML model of before GGUF, which is not read",
     "take its GGUF, or convert it with llama.cpp"},
    {".onnx", "an ONNX model, which is not read", "take the checkpoint that it was made from"},
};

std::string Tensors(uint64_t count) {
  return fmt::format("{} tensor{}", count, count == 1 ? "" : "s");
}

std::string NameOf(const fs::path& path) { return AsUtf8(path.filename().string()); }

/// The files of a folder by name, its subfolders' if it has none itself; without hidden ones.
std::vector<fs::path> FilesOf(const fs::path& folder) {
  const auto add = [](const fs::directory_entry& entry, std::vector<fs::path>& files) {
    std::error_code failed;
    const bool hidden = entry.path().filename().string().starts_with('.');
    if (!hidden && entry.is_regular_file(failed)) files.push_back(entry.path());
  };
  std::vector<fs::path> files;
  std::error_code failed;
  for (fs::directory_iterator at(folder, failed), end; !failed && at != end; at.increment(failed)) {
    add(*at, files);
  }
  if (files.empty()) {
    fs::recursive_directory_iterator at(folder, failed);
    for (const fs::recursive_directory_iterator end; !failed && at != end; at.increment(failed)) {
      if (IsHidden(at->path())) at.disable_recursion_pending();
      add(*at, files);
    }
  }
  std::ranges::sort(files);
  return files;
}

/// Folders in `folder` that a scan does not enter: hidden ones, and links.
std::vector<fs::path> NotEntered(const fs::path& folder) {
  std::vector<fs::path> folders;
  std::error_code failed;
  for (fs::directory_iterator at(folder, failed), end; !failed && at != end; at.increment(failed)) {
    std::error_code ignored;
    const bool is_folder = at->is_directory(ignored);
    if (is_folder && (IsHidden(at->path()) || at->is_symlink(ignored))) {
      folders.push_back(at->path());
    }
  }
  std::ranges::sort(folders);
  return folders;
}

/// "model.safetensors-00001-of-00002": a suffix that can be read, and a number behind it.
bool HasSuffixInside(const fs::path& file) {
  const std::string name = LowerAscii(file.filename().string());
  return std::ranges::any_of(ScannedSuffixes(), [&](std::string_view suffix) {
    const size_t end = name.find(suffix) + suffix.size();
    const bool inside = name.find(suffix) != name.npos && end + 1 < name.size();
    return inside && std::string_view("-_.").find(name[end]) != std::string_view::npos &&
           name[end + 1] >= '0' && name[end + 1] <= '9';
  });
}

/// "a, b, c and 2 more".
std::string Listed(const std::vector<fs::path>& files) {
  std::vector<std::string> names;
  for (const fs::path& file : files) {
    if (names.size() < kShownFiles) names.push_back(NameOf(file));
  }
  const std::string more =
      files.size() > kShownFiles ? fmt::format(" and {} more", files.size() - kShownFiles) : "";
  return fmt::format("{}{}", fmt::join(names, ", "), more);
}

template <class Predicate>
std::vector<fs::path> Those(const std::vector<fs::path>& files, Predicate predicate) {
  std::vector<fs::path> chosen;
  std::ranges::copy_if(files, std::back_inserter(chosen), predicate);
  return chosen;
}

struct Sentence {
  std::string message, hint;
};

/// There are files, and a reader for them, and still none was scanned.
Sentence OfReadable(const ModelFiles& model, const std::vector<fs::path>& readable) {
  const auto& left_out = model.scan.left_out;
  if (!left_out.empty()) {
    return {fmt::format("nothing to read: {} is left out ({})", NameOf(left_out.front().path),
                        left_out.front().reason),
            "give the checkpoint that it belongs to"};
  }
  const auto unlisted = Those(readable, [&](const fs::path& file) {
    const auto& listed = model.options.extensions;
    return std::ranges::find(listed, SuffixOf(file)) == listed.end();
  });
  if (!unlisted.empty()) {
    return {fmt::format("nothing to read: scan.extensions of the configuration does not list the "
                        "suffix of {}",
                        Listed(unlisted)),
            "add it there"};
  }
  return {fmt::format("nothing to read: the configuration's scan leaves out {}", Listed(readable)),
          "see max_files and recursive there"};
}

Sentence WithoutFiles(const ModelFiles& model) {
  if (const MissingShards& missing = model.scan.missing; !missing.empty()) {
    return {missing.Text(), std::string(kDownload)};
  }
  const auto files = model.scan.model_path_is_file ? std::vector{model.path} : FilesOf(model.path);
  const auto readable = Those(files, IsScanned);
  if (!readable.empty()) return OfReadable(model, readable);
  if (const auto unfinished = Those(files, IsUnfinished); !unfinished.empty()) {
    return {fmt::format("nothing to read: only {}, an unfinished download", Listed(unfinished)),
            std::string(kDownload)};
  }
  if (const auto inside = Those(files, HasSuffixInside); !inside.empty()) {
    return {fmt::format("nothing to read: no name ends with its suffix: {}", Listed(inside)),
            "rename them, for one to model-00001-of-00002.safetensors"};
  }
  for (const OtherKind& kind : kOtherKinds) {
    const auto of_kind =
        Those(files, [&](const fs::path& file) { return SuffixOf(file) == kind.suffix; });
    if (of_kind.empty()) continue;
    return {fmt::format("nothing to read: only {}, {}", Listed(of_kind), kind.what),
            std::string(kind.hint)};
  }
  const auto named =
      Those(files, [](const fs::path& file) { return FindContainer(file) != nullptr; });
  if (!named.empty()) {
    return {fmt::format("nothing to read: only {}, which is read only when it is named itself",
                        Listed(named)),
            "give the file"};
  }
  if (const auto folders = NotEntered(model.path); files.empty() && !folders.empty()) {
    return {fmt::format("nothing to read: only {}; hidden folders and links to folders are not "
                        "entered",
                        Listed(folders)),
            "give that folder"};
  }
  if (files.empty()) return {"nothing to read: the folder is empty", "give a checkpoint's folder"};
  const bool config = std::ranges::any_of(
      files, [](const fs::path& file) { return file.filename() == "config.json"; });
  if (config) return {"config.json but no weights", std::string(kDownload)};
  return {fmt::format("nothing to read: no file of a kind that can be read ({}), only {}",
                      fmt::join(ScannedSuffixes(), ", "), Listed(files)),
          "give a checkpoint's folder or file"};
}

bool HasRouters(const Model& model) {
  return std::ranges::any_of(model.tensors(), [](const ModelTensor& tensor) {
    return tensor.left_out == ModelTensor::LeftOut::kNo && tensor.found.role == Role::kRouter;
  });
}

Sentence WithoutExperts(const Model& model, bool experts_only) {
  const size_t files = model.parts().files->scan.files.size();
  const size_t tensors = model.tensors().size();
  if (tensors == 0) {
    return {fmt::format("{} file{} without a tensor", files, files == 1 ? "" : "s"),
            std::string(kDownload)};
  }
  const std::string type =
      model.model_type().empty() ? "" : fmt::format(" (model_type {})", model.model_type());
  const uint64_t experts = model.facts().experts.value_or(0);
  if (const uint64_t listed = ListedMatrices(model.parts().missing); listed > 0) {
    return {fmt::format("none of the {} is an expert's weight, though the index lists {} matri{} "
                        "of experts",
                        Tensors(tensors), listed, listed == 1 ? "x" : "ces"),
            "download the index and the shards again"};
  }
  if (experts > 0 || HasRouters(model)) {
    return {fmt::format("none of the {} tensors is an expert's weight, though {}{}", tensors,
                        experts > 0
                            ? fmt::format("the model's configuration speaks of {} experts", experts)
                            : "there are routers",
                        type),
            "a rule can say which they are: docs/config.md, 'Finding the experts'"};
  }
  if (!experts_only) {
    return {fmt::format("none of {} is a matrix of floats", Tensors(tensors)), ""};
  }
  return {fmt::format("a dense model: no expert weights among {}{}", Tensors(tensors), type),
          "moescope is about Mixture-of-Experts models; with scan.experts_only false in the "
          "configuration it measures every matrix"};
}

Error ErrorOf(const fs::path& model, Sentence sentence) {
  return {ErrorCode::kUnsupported, AsUtf8(model.string()), std::move(sentence.message),
          std::move(sentence.hint), ""};
}

}  // namespace

Error NothingToRead(const ModelFiles& files) { return ErrorOf(files.path, WithoutFiles(files)); }

Error NoExperts(const Model& model, bool experts_only) {
  return ErrorOf(model.path(), WithoutExperts(model, experts_only));
}

}  // namespace moe

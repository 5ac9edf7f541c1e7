#include "quantize/quantize.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>
#include <zlib.h>

#include <chrono>
#include <fstream>
#include <optional>
#include <system_error>
#include <utility>

#include "base/descriptor.h"
#include "base/json_text.h"
#include "base/pending_file.h"
#include "base/system_fail.h"
#include "base/version.h"
#include "model/model_parts.h"
#include "quantize/mlx_folder.h"
#include "quantize/model_card.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kProgressName = "moescope-progress.jsonl";
constexpr const char* kLockName = "moescope.lock";

/// Tells whether an unfinished folder is of this plan.
std::string KeyOf(const OutputPlan& plan, const std::vector<SafetensorsPlan>& files) {
  uLong digest = 0;
  const auto add = [&](std::string_view text) {
    digest = ::crc32_z(digest, reinterpret_cast<const Bytef*>(text.data()), text.size());
  };
  for (const SafetensorsPlan& file : files) add(file.name + file.header);
  add(plan.quantization.Text());
  if (plan.search) add("search");
  return fmt::format("{} {} {:08x}", kVersion, plan.fingerprint, digest);
}

/// How far an unfinished checkpoint is: the plan's key, then a line for each weight that is whole,
/// with the digests of its tensors.
class Progress {
 public:
  Progress(fs::path path, std::string key) : path_(std::move(path)), key_(std::move(key)) {}
  ~Progress() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  const std::vector<WeightDigests>& done() const { return done_; }

  /// What an earlier run has noted. kBadArgument: of another plan.
  Result<void> Read() {
    std::ifstream file(path_);
    std::string line;
    if (!std::getline(file, line)) return {};
    const auto first = Json::Parse(line);
    if (!first || (*first)["plan"].text() != key_) {
      return Fail(ErrorCode::kBadArgument, path_.parent_path().string(),
                  "was begun from another model, with another scheme or by another version",
                  "remove it to start over");
    }
    while (std::getline(file, line)) {
      const auto digests = Json::Parse(line);
      if (!digests || !digests->is_array()) break;  // a line that was cut
      done_.push_back(digests->get<WeightDigests>());
    }
    return {};
  }

  /// Goes on after the first `count` weights.
  Result<void> Begin(size_t count) {
    done_.resize(count);
    std::string text = Json{{"plan", key_}}.Text() + "\n";
    for (const WeightDigests& digests : done_) text += Json(digests).Text() + "\n";
    if (auto written = WriteFileAtomically(path_, text); !written) return written;
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
    return descriptor_ >= 0 ? Result<void>() : Failed();
  }

  Result<void> Add(const WeightDigests& digests) {
    done_.push_back(digests);
    const std::string line = Json(digests).Text() + "\n";
    const ssize_t written = ::write(descriptor_, line.data(), line.size());
    return written == static_cast<ssize_t>(line.size()) ? Result<void>() : Failed();
  }

 private:
  Result<void> Failed() const { return SystemFail(path_, "writing failed"); }

  const fs::path path_;
  const std::string key_;
  std::vector<WeightDigests> done_;
  int descriptor_ = -1;
};

/// Keeps a second run out of an unfinished folder, by a lock (flock) on a file with this process's
/// id. The system frees it when the process ends, however it ends.
class FolderLock {
 public:
  /// kBadArgument: another process has it.
  Result<void> Take(const fs::path& folder) {
    const fs::path path = folder / kLockName;
    const int file =
        file_.emplace(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)).value();
    if (file < 0) return SystemFail(path, "can't be opened");
    if (::flock(file, LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return SystemFail(path, "can't be locked");
      return Fail(
          ErrorCode::kBadArgument, folder.string(),
          fmt::format("is being written by process {}", ReadTextFile(path).value_or("unknown")),
          "wait for it or stop it");
    }
    const std::string id = fmt::format("{}", ::getpid());
    const bool noted = ::ftruncate(file, 0) == 0 &&
                       ::write(file, id.data(), id.size()) == static_cast<ssize_t>(id.size());
    return noted ? Result<void>() : SystemFail(path, "writing failed");
  }

 private:
  std::optional<Descriptor> file_;
};

/// kBadArgument: there is something else than an empty folder, or a link to one, which a folder
/// can't replace.
Result<void> CheckFree(const fs::path& out) {
  std::error_code unknown;
  const fs::file_status there = fs::symlink_status(out, unknown);
  if (!fs::exists(there) || (fs::is_directory(there) && fs::is_empty(out, unknown))) return {};
  return Fail(ErrorCode::kBadArgument, out.string(), "is there already", "give a new folder");
}

class Quantization {
 public:
  Quantization(const Model& model, const OutputPlan& plan, const OutputChoice& choice,
               const QuantizeOptions& options)
      : model_(model),
        plan_(plan),
        choice_(choice),
        options_(options),
        folder_(UnfinishedFolder(options.out)),
        files_(PlanSafetensors(plan.tensors)),
        progress_(folder_ / kProgressName, KeyOf(plan, files_)) {}

  Result<QuantizeReport> Run() {
    const auto started = std::chrono::steady_clock::now();
    auto done = CheckOut(options_)
                    .and_then([&] { return OpenFiles(); })
                    .and_then([&] { return SkipWhatIsWhole(); })
                    .and_then([&] { return WriteAllWeights(); })
                    .and_then([&] { return WriteOtherFiles(); })
                    .and_then([&] { return TakeName(); });
    if (!done) return tl::make_unexpected(done.error());
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started;
    report_.seconds = elapsed.count();
    return report_;
  }

 private:
  Result<void> OpenFiles() {
    std::error_code failed;
    const bool is_new = fs::create_directories(folder_, failed);
    if (failed) return SystemFail(folder_, "can't be created", failed);
    if (auto taken = lock_.Take(folder_); !taken) return taken;
    auto opened = CheckFree(options_.out)  // again: another run may have ended since
                      .and_then([&] { return progress_.Read(); })
                      .and_then([&] { return OpenWriter(); });
    if (!opened && is_new) fs::remove_all(folder_, failed);
    return opened;
  }

  Result<void> OpenWriter() {
    auto opened = SafetensorsWriter::Open(folder_, files_);
    if (!opened) return tl::make_unexpected(opened.error());
    writer_ = std::move(*opened);
    return {};
  }

  /// Weights whose bytes are still those that the earlier run has noted.
  Result<void> SkipWhatIsWhole() {
    const auto& noted = progress_.done();
    size_t whole = 0;
    for (; whole < noted.size() && whole < plan_.weights.size(); ++whole) {
      if (auto go_on = options_.write.stop.Check(); !go_on) return go_on;
      const auto found = DigestsOf(plan_, plan_.weights[whole], *writer_);
      if (!found) return tl::make_unexpected(found.error());
      if (*found != noted[whole]) break;
    }
    report_.weights_kept = whole;
    return progress_.Begin(whole);
  }

  Result<void> WriteAllWeights() {
    auto done = WriteWeights(plan_, report_.weights_kept, options_.write, *writer_,
                             [&](const WeightDigests& digests) { return progress_.Add(digests); });
    return done ? writer_->Finish() : done;
  }

  Result<void> WriteOtherFiles() {
    const ModelMetadata& metadata = model_.parts().files->metadata;
    const fs::path source = metadata.config_path->parent_path();
    Json generation;
    if (const auto text = ReadTextFile(source / "generation_config.json")) {
      generation = Json::Parse(*text).value_or(Json());
    }
    const std::pair<const char*, std::string> texts[] = {
        {"model.safetensors.index.json", IndexText(plan_, files_)},
        {"README.md", ModelCardText(model_, options_.name, plan_, choice_)},
        {"moescope.json",
         JsonText(ManifestOf(model_, options_.name, plan_, choice_, files_, progress_.done()))},
        {"config.json", ConfigText(metadata.config, generation, plan_.quantization)}};
    for (const fs::path& file : FilesToCopy(source)) {
      const auto text = ReadTextFile(file);
      if (!text) return tl::make_unexpected(text.error());
      auto copied = WriteFileAtomically(folder_ / file.filename(), *text);
      if (!copied) return copied;
    }
    for (const auto& [file, text] : texts) {
      if (auto written = WriteFileAtomically(folder_ / file, text); !written) return written;
    }
    return {};
  }

  Result<void> TakeName() {
    std::error_code failed;
    fs::remove(folder_ / kProgressName, failed);
    fs::rename(folder_, options_.out, failed);
    if (failed) {
      return SystemFail(folder_,
                        fmt::format("is whole, but can't take the name {}", options_.out.string()),
                        failed);
    }
    fs::remove(options_.out / kLockName, failed);  // not before: another run would take it
    return {};
  }

  const Model& model_;
  const OutputPlan& plan_;
  const OutputChoice& choice_;
  const QuantizeOptions& options_;
  const fs::path folder_;
  const std::vector<SafetensorsPlan> files_;
  FolderLock lock_;
  Progress progress_;
  std::unique_ptr<SafetensorsWriter> writer_;
  QuantizeReport report_;
};

}  // namespace

fs::path UnfinishedFolder(const fs::path& out) {
  fs::path folder = out;
  return folder += ".unfinished";
}

Result<void> CheckOut(const QuantizeOptions& options) {
  std::error_code unknown;
  if (auto is_free = CheckFree(options.out); !is_free) return is_free;
  const fs::path folder = UnfinishedFolder(options.out);
  if (options.resume || !fs::exists(folder, unknown)) return {};
  FolderLock lock;
  if (auto taken = lock.Take(folder); !taken && taken.error().code == ErrorCode::kBadArgument) {
    return taken;
  }
  return Fail(ErrorCode::kBadArgument, folder.string(), "is what an earlier run has not finished",
              "--resume goes on with it; remove it to start over");
}

Result<QuantizeReport> Quantize(const Model& model, const OutputPlan& plan,
                                const OutputChoice& choice, const QuantizeOptions& options) {
  return Quantization(model, plan, choice, options).Run();
}

}  // namespace moe

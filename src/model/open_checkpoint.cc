#include "model/open_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "checkpoint/adapter.h"
#include "checkpoint/names.h"
#include "checkpoint/one_model.h"
#include "codec/companions.h"
#include "codec/config_words.h"
#include "codec/neighbours.h"
#include "moescope/dtype.h"

namespace moe {
namespace {

/// D2: the dtype that a quantized weight's values are meant in.
DType MeantDType(const Weight& weight, const ModelWords& words) {
  if (words.declared_dtype) return *words.declared_dtype;
  const bool half = weight.float_dtype == DType::kF16 || weight.float_dtype == DType::kBF16;
  return half ? weight.float_dtype : DType::kBF16;
}

class Opener {
 public:
  Opener(const ScanPlan& scan, const IndexSummary& index, const ModelWords& words, bool keep_going,
         const std::function<bool()>& stopped)
      : scan_(scan),
        shards_(index),
        words_(words),
        config_(words.quantization),
        keep_going_(keep_going),
        stopped_(stopped) {
    for (const Error& error : scan.skipped) Skip(error);
  }

  Result<void> AddFile(const std::filesystem::path& path) {
    checkpoint_.first_tensor_number.push_back(tensors_);
    auto file = OpenTensorFile(path, stopped_);
    if (file && !shards_.used_for_scan) {
      if (const auto twice = TensorNamedTwice(**file)) {
        Error error{ErrorCode::kMalformed, path.string(),
                    "tensor '" + *twice + "' stands in an earlier file too",
                    "scan one copy of the checkpoint only", ""};
        if (keep_going_) {
          file = tl::make_unexpected(std::move(error));
        } else if (!twice_) {
          twice_ = std::move(error);
        }
      }
    }
    if (!file) {
      if (!keep_going_) return tl::make_unexpected(file.error());
      Skip(file.error());
      checkpoint_.files.push_back(nullptr);
      return {};
    }
    const bool empty = (*file)->tensors().empty() && SuffixOf(path) != ".gguf";
    if (empty && !shards_.used_for_scan) {
      checkpoint_.has_empty_file = true;
      Warn("[scan] files without a tensor", {path.filename().string()});
    }
    tensors_ += (*file)->tensors().size();
    checkpoint_.files.push_back(std::move(*file));
    return {};
  }

  Result<Checkpoint> FindWeights() {
    for (const auto& file : checkpoint_.files) {
      checkpoint_.uses.emplace_back(file ? file->tensors().size() : 0);
    }
    auto done = shards_.used_for_scan ? ChooseCopies() : CheckOneModel(checkpoint_.files);
    if (done && twice_) done = tl::make_unexpected(*twice_);
    if (done && scan_.fault && !scan_.missing.lone) done = tl::make_unexpected(*scan_.fault);
    if (!done) return tl::make_unexpected(done.error());
    LeaveOutAdapters();
    for (size_t f = 0; f < checkpoint_.files.size(); ++f) {
      for (size_t t = 0; t < checkpoint_.uses[f].size(); ++t) {
        if (Counts(f, t)) index_.Add({checkpoint_.files[f].get(), t});
      }
    }
    for (size_t f = 0; f < checkpoint_.files.size(); ++f) {
      if (stopped_()) return tl::make_unexpected(InterruptedError());
      for (size_t t = 0; t < checkpoint_.uses[f].size(); ++t) {
        if (Counts(f, t)) AddWeight(f, t);
      }
    }
    RefuseOddOnes();
    MarkCompanions();
    return std::move(checkpoint_);
  }

 private:
  /// A name of `file` that an earlier file has; else remembers all of its names.
  std::optional<std::string> TensorNamedTwice(const TensorFile& file) {
    for (const TensorInfo& tensor : file.tensors()) {
      if (names_.contains(tensor.name)) return tensor.name;
    }
    for (const TensorInfo& tensor : file.tensors()) names_.insert(tensor.name);
    return std::nullopt;
  }

  void Skip(const Error& error) {
    checkpoint_.skipped_files.push_back(error.Text());
    checkpoint_.warnings.push_back({tensors_, "[collect] skipped " + error.Text()});
  }

  bool Counts(size_t file, size_t tensor) const {
    return checkpoint_.uses[file][tensor].left_out == TensorUse::LeftOut::kNo;
  }

  const std::string& NameOf(size_t file, size_t tensor) const {
    return checkpoint_.files[file]->tensors()[tensor].name;
  }

  /// The shard that the index names for a tensor; nullptr: it does not list it.
  const std::string* ListedShard(const std::string& name) const {
    const auto entry = shards_.weight_map.find(name);
    return entry == shards_.weight_map.end() ? nullptr : &entry->second;
  }

  /// Marks what the index leaves out.
  Result<void> ChooseCopies() {
    std::unordered_set<std::string_view> open_shards, at_home, elsewhere;
    std::vector<std::string> shard_of(checkpoint_.files.size());
    for (size_t f = 0; f < checkpoint_.files.size(); ++f) {
      if (!checkpoint_.files[f]) continue;
      shard_of[f] = checkpoint_.files[f]
                        ->path()
                        .lexically_relative(shards_.index_path->parent_path())
                        .generic_string();
      open_shards.insert(shard_of[f]);
      for (const TensorInfo& tensor : checkpoint_.files[f]->tensors()) {
        const std::string* shard = ListedShard(tensor.name);
        if (shard != nullptr && *shard == shard_of[f]) at_home.insert(tensor.name);
      }
    }
    std::vector<std::string> copies, misplaced;
    for (size_t f = 0; f < checkpoint_.files.size(); ++f) {
      for (size_t t = 0; t < checkpoint_.uses[f].size(); ++t) {
        const std::string& name = NameOf(f, t);
        const std::string* shard = ListedShard(name);
        TensorUse& use = checkpoint_.uses[f][t];
        if (shard == nullptr) {
          use.left_out = TensorUse::LeftOut::kUnlisted;
        } else if (*shard == shard_of[f]) {
          continue;
        } else if (at_home.contains(name) || !open_shards.contains(*shard)) {
          use.left_out = TensorUse::LeftOut::kCopy;
          copies.push_back(name + " of " + shard_of[f]);
        } else if (elsewhere.insert(name).second) {
          misplaced.push_back(name + " in " + shard_of[f]);
        } else {
          return Fail(ErrorCode::kMalformed, checkpoint_.files[f]->path().string(),
                      "tensor '" + name + "' stands in an earlier file too, and not in " + *shard +
                          ", where the index has it",
                      "download the index and the shards again");
        }
      }
    }
    Warn("[index] copies outside the shard that the index names, left out", copies);
    Warn("[index] tensors outside the shard that the index names, read all the same", misplaced);
    return {};
  }

  void LeaveOutAdapters() {
    std::vector<std::string> names;
    for (size_t f = 0; f < checkpoint_.files.size(); ++f) {
      for (size_t t = 0; t < checkpoint_.uses[f].size(); ++t) {
        if (!Counts(f, t) || !IsAdapterTensor(NameOf(f, t))) continue;
        checkpoint_.uses[f][t].left_out = TensorUse::LeftOut::kAdapter;
        names.push_back(NameOf(f, t));
      }
    }
    Warn("[scan] tensors of an adapter (LoRA), left out", names);
  }

  void Warn(const std::string& what, const std::vector<std::string>& names) {
    if (names.empty()) return;
    checkpoint_.warnings.push_back(
        {0, fmt::format("{} ({}): {}", what, names.size(), NameList(names))});
  }

  void AddWeight(size_t file, size_t tensor) {
    TensorUse& use = checkpoint_.uses[file][tensor];
    auto found = FindWeight({checkpoint_.files[file].get(), tensor}, index_, config_);
    if (!found) {
      use.refusal = found.error().message;
      if (use.refusal.empty()) use.refusal = "can't be decoded";
    } else if (*found) {
      if (!(*found)->is_plain()) {
        (*found)->float_dtype = MeantDType(**found, words_);
        for (size_t i = 1; i < (*found)->parts.size(); ++i) {
          companions_.insert((*found)->parts[i].info().name);
        }
      }
      neighbours_.Add(**found);
      use.weight = std::make_shared<const Weight>(std::move(**found));
    }
  }

  /// Weights that contradict the other experts of their layer, of which config.json says the same.
  void RefuseOddOnes() {
    const auto entry = [&](const std::string& payload) {
      return config_.Of(ModuleOf(payload)).front().entry;
    };
    for (size_t f = 0; f < checkpoint_.files.size(); ++f) {
      for (TensorUse& use : checkpoint_.uses[f]) {
        if (!use.weight) continue;
        const auto odd = neighbours_.OddityOf(*use.weight);
        if (!odd || entry(use.weight->parts[0].info().name) != entry(odd->neighbour)) continue;
        use = {nullptr, false, odd->reason};
      }
    }
  }

  /// Scales are plain floats, and so weights to themselves, until their payload is met.
  void MarkCompanions() {
    for (size_t f = 0; f < checkpoint_.files.size(); ++f) {
      for (size_t t = 0; t < checkpoint_.uses[f].size(); ++t) {
        if (!companions_.contains(checkpoint_.files[f]->tensors()[t].name)) continue;
        if (Counts(f, t)) checkpoint_.uses[f][t] = {nullptr, true, ""};
      }
    }
  }

  const ScanPlan& scan_;
  const IndexSummary& shards_;
  const ModelWords& words_;
  QuantConfig config_;
  Neighbours neighbours_;
  bool keep_going_;
  const std::function<bool()>& stopped_;
  std::optional<Error> twice_;  // the first name that stands in two files
  uint64_t tensors_ = 0;
  Checkpoint checkpoint_;
  TensorIndex index_;
  std::unordered_set<std::string_view> names_, companions_;  // of the files, which stay open
};

}  // namespace

WeightShape Checkpoint::ShapeOf(size_t file, size_t tensor) const {
  const TensorInfo& info = files[file]->tensors()[tensor];
  const TensorUse& use = uses[file][tensor];
  if (use.weight) return {use.weight->name, use.weight->shape, info.name, ""};
  WeightShape shape = PlainWeight(info);
  if (!use.refusal.empty()) shape.undecoded = use.refusal;
  return shape;
}

std::vector<WeightShape> Checkpoint::AllShapes() const {
  std::vector<WeightShape> shapes;
  for (size_t f = 0; f < files.size(); ++f) {
    for (size_t t = 0; t < uses[f].size(); ++t) {
      if (uses[f][t].left_out == TensorUse::LeftOut::kNo) shapes.push_back(ShapeOf(f, t));
    }
  }
  return shapes;
}

bool Checkpoint::NothingRead() const {
  return !files.empty() && std::ranges::none_of(files, [](const auto& file) { return bool(file); });
}

std::set<std::string> Checkpoint::TensorNames() const {
  std::set<std::string> names;
  for (size_t f = 0; f < files.size(); ++f) {
    for (size_t t = 0; t < uses[f].size(); ++t) {
      const bool is_copy = uses[f][t].left_out == TensorUse::LeftOut::kCopy;
      if (!is_copy) names.insert(files[f]->tensors()[t].name);
    }
  }
  return names;
}

Result<Checkpoint> OpenCheckpoint(const ScanPlan& scan, const IndexSummary& index,
                                  const ModelWords& words, bool keep_going,
                                  const std::function<bool()>& stopped) {
  Opener opener(scan, index, words, keep_going, stopped);
  for (const std::filesystem::path& path : scan.files) {
    if (stopped()) return tl::make_unexpected(InterruptedError());
    if (auto done = opener.AddFile(path); !done) return tl::make_unexpected(done.error());
  }
  return opener.FindWeights();
}

Error InterruptedError() {
  return {ErrorCode::kInterrupted, "", "interrupted; outputs are untouched", "", ""};
}

}  // namespace moe

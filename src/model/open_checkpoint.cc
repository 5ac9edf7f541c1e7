#include "model/open_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
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

class CheckpointOpener {
 public:
  CheckpointOpener(const ScanPlan& scan, const IndexSummary& index, const ModelWords& words,
                   bool keep_going, const StopToken& stop)
      : scan_(scan),
        shards_(index),
        words_(words),
        config_(words.quantization),
        keep_going_(keep_going),
        stop_(stop) {
    for (const Error& error : scan.skipped) Skip(error);
  }

  Result<void> AddFile(const std::filesystem::path& path) {
    checkpoint_.first_tensor.push_back(checkpoint_.tensors.size());
    auto file = OpenTensorFile(path, stop_);
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
    for (size_t i = 0; i < (*file)->tensors().size(); ++i) {
      checkpoint_.tensors.emplace_back().ref = {file->get(), i};
    }
    checkpoint_.files.push_back(std::move(*file));
    return {};
  }

  Result<Checkpoint> FindWeights() {
    auto done = shards_.used_for_scan ? ChooseCopies() : CheckOneModel(checkpoint_.files);
    if (done && twice_) done = tl::make_unexpected(*twice_);
    if (done && scan_.fault && !scan_.missing.lone) done = tl::make_unexpected(*scan_.fault);
    if (!done) return tl::make_unexpected(done.error());
    LeaveOutAdapters();
    for (const ModelTensor& tensor : checkpoint_.tensors) {
      if (Counts(tensor)) index_.Add(tensor.ref);
    }
    for (ModelTensor& tensor : checkpoint_.tensors) {
      if (stop_.stopped()) return tl::make_unexpected(InterruptedError());
      if (Counts(tensor)) AddWeight(tensor);
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
    checkpoint_.warnings.push_back(
        {checkpoint_.tensors.size(), "[collect] skipped " + error.Text()});
  }

  static bool Counts(const ModelTensor& tensor) {
    return tensor.left_out == ModelTensor::LeftOut::kNo;
  }

  /// The shard that the index names for a tensor; nullptr: it does not list it.
  const std::string* ListedShard(const std::string& name) const {
    const auto entry = shards_.weight_map.find(name);
    return entry == shards_.weight_map.end() ? nullptr : &entry->second;
  }

  /// Of each file, as an index would name it.
  std::map<const TensorFile*, std::string> ShardNames() const {
    std::map<const TensorFile*, std::string> names;
    const std::filesystem::path folder = shards_.index_path->parent_path();
    for (const auto& file : checkpoint_.files) {
      if (file) names[file.get()] = file->path().lexically_relative(folder).generic_string();
    }
    return names;
  }

  /// Marks what the index leaves out.
  Result<void> ChooseCopies() {
    const auto shard_of = ShardNames();
    std::unordered_set<std::string_view> open_shards, at_home, elsewhere;
    for (const auto& [file, shard] : shard_of) open_shards.insert(shard);
    for (const ModelTensor& tensor : checkpoint_.tensors) {
      const std::string* shard = ListedShard(tensor.info().name);
      if (shard != nullptr && *shard == shard_of.at(tensor.ref.file)) {
        at_home.insert(tensor.info().name);
      }
    }
    std::vector<std::string> copies, misplaced;
    for (ModelTensor& tensor : checkpoint_.tensors) {
      const std::string& name = tensor.info().name;
      const std::string& lies_in = shard_of.at(tensor.ref.file);
      const std::string* shard = ListedShard(name);
      if (shard == nullptr) {
        tensor.left_out = ModelTensor::LeftOut::kUnlisted;
      } else if (*shard == lies_in) {
        continue;
      } else if (at_home.contains(name) || !open_shards.contains(*shard)) {
        tensor.left_out = ModelTensor::LeftOut::kCopy;
        copies.push_back(name + " of " + lies_in);
      } else if (elsewhere.insert(name).second) {
        misplaced.push_back(name + " in " + lies_in);
      } else {
        return Fail(ErrorCode::kMalformed, tensor.ref.file->path().string(),
                    "tensor '" + name + "' stands in an earlier file too, and not in " + *shard +
                        ", where the index has it",
                    "download the index and the shards again");
      }
    }
    Warn("[index] copies outside the shard that the index names, left out", copies);
    Warn("[index] tensors outside the shard that the index names, read all the same", misplaced);
    return {};
  }

  void LeaveOutAdapters() {
    std::vector<std::string> names;
    for (ModelTensor& tensor : checkpoint_.tensors) {
      if (!Counts(tensor) || !IsAdapterTensor(tensor.info().name)) continue;
      tensor.left_out = ModelTensor::LeftOut::kAdapter;
      names.push_back(tensor.info().name);
    }
    Warn("[scan] tensors of an adapter (LoRA), left out", names);
  }

  void Warn(const std::string& what, const std::vector<std::string>& names) {
    if (names.empty()) return;
    checkpoint_.warnings.push_back(
        {0, fmt::format("{} ({}): {}", what, names.size(), NameList(names))});
  }

  void AddWeight(ModelTensor& tensor) {
    auto found = FindWeight(tensor.ref, index_, config_);
    if (!found) {
      tensor.refusal = found.error().message;
      tensor.contradictory = found.error().code == ErrorCode::kMalformed;
      if (tensor.refusal.empty()) tensor.refusal = "can't be decoded";
    } else if (*found) {
      if (!(*found)->is_plain()) {
        (*found)->float_dtype = MeantDType(**found, words_);
        for (size_t i = 1; i < (*found)->parts.size(); ++i) {
          companions_.insert((*found)->parts[i].info().name);
        }
      }
      neighbours_.Add(**found);
      tensor.weight = std::make_shared<const Weight>(std::move(**found));
    }
  }

  /// Weights that contradict the other experts of their layer, of which config.json says the same.
  void RefuseOddOnes() {
    const auto entry = [&](const std::string& payload) {
      return config_.Of(ModuleOf(payload)).front().entry;
    };
    for (ModelTensor& tensor : checkpoint_.tensors) {
      if (!tensor.weight) continue;
      const auto odd = neighbours_.OddityOf(*tensor.weight);
      if (!odd || entry(tensor.weight->parts[0].info().name) != entry(odd->neighbour)) continue;
      tensor.weight = nullptr;
      tensor.refusal = odd->reason;
      tensor.contradictory = true;
    }
  }

  /// Scales are plain floats, and so weights to themselves, until their payload is met.
  void MarkCompanions() {
    for (ModelTensor& tensor : checkpoint_.tensors) {
      if (!companions_.contains(tensor.info().name) || !Counts(tensor)) continue;
      tensor.companion = true;
      tensor.weight = nullptr;
      tensor.refusal.clear();
      tensor.contradictory = false;
    }
  }

  const ScanPlan& scan_;
  const IndexSummary& shards_;
  const ModelWords& words_;
  QuantConfig config_;
  Neighbours neighbours_;
  bool keep_going_;
  StopToken stop_;
  std::optional<Error> twice_;  // the first name that stands in two files
  Checkpoint checkpoint_;
  TensorIndex index_;
  std::unordered_set<std::string_view> names_, companions_;  // of the files, which stay open
};

}  // namespace

WeightShape ShapeOf(const ModelTensor& tensor) {
  const TensorInfo& info = tensor.info();
  if (tensor.weight) return {tensor.weight->name, tensor.weight->shape, info.name, ""};
  WeightShape shape = PlainWeight(info);
  if (!tensor.refusal.empty()) shape.undecoded = tensor.refusal;
  return shape;
}

std::vector<WeightShape> Checkpoint::AllShapes() const {
  std::vector<WeightShape> shapes;
  for (const ModelTensor& tensor : tensors) {
    if (tensor.left_out == ModelTensor::LeftOut::kNo) shapes.push_back(ShapeOf(tensor));
  }
  return shapes;
}

bool Checkpoint::NothingRead() const {
  return !files.empty() && std::ranges::none_of(files, [](const auto& file) { return bool(file); });
}

std::set<std::string> Checkpoint::TensorNames() const {
  std::set<std::string> names;
  for (const ModelTensor& tensor : tensors) {
    if (tensor.left_out != ModelTensor::LeftOut::kCopy) names.insert(tensor.info().name);
  }
  return names;
}

Result<Checkpoint> OpenCheckpoint(const ScanPlan& scan, const IndexSummary& index,
                                  const ModelWords& words, bool keep_going, const StopToken& stop) {
  CheckpointOpener opener(scan, index, words, keep_going, stop);
  for (const std::filesystem::path& path : scan.files) {
    if (auto done = stop.Check(); !done) return tl::make_unexpected(done.error());
    if (auto done = opener.AddFile(path); !done) return tl::make_unexpected(done.error());
  }
  return opener.FindWeights();
}

}  // namespace moe

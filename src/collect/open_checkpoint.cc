#include "collect/open_checkpoint.h"

#include <fmt/format.h>

#include <unordered_set>

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
  Opener(const ModelWords& words, bool keep_going, const std::function<bool()>& stopped)
      : words_(words), config_(words.quantization), keep_going_(keep_going), stopped_(stopped) {}

  Result<void> AddFile(const std::filesystem::path& path) {
    checkpoint_.first_tensor_number.push_back(tensors_);
    auto file = OpenTensorFile(path, stopped_);
    if (file) {
      if (const auto twice = TensorNamedTwice(**file)) {
        file = Fail(ErrorCode::kMalformed, path.string(),
                    "tensor '" + *twice + "' stands in an earlier file too",
                    "scan one copy of the checkpoint only");
      }
    }
    if (!file) {
      if (!keep_going_) return tl::make_unexpected(file.error());
      checkpoint_.skipped_files.push_back(file.error().Text());
      checkpoint_.warnings.push_back({tensors_, "[collect] skipped " + file.error().Text()});
      checkpoint_.files.push_back(nullptr);
      return {};
    }
    index_.Add(**file);
    tensors_ += (*file)->tensors().size();
    checkpoint_.files.push_back(std::move(*file));
    return {};
  }

  Result<Checkpoint> FindWeights() {
    for (const auto& file : checkpoint_.files) {
      checkpoint_.uses.emplace_back(file ? file->tensors().size() : 0);
    }
    for (size_t f = 0; f < checkpoint_.files.size(); ++f) {
      if (stopped_()) return tl::make_unexpected(InterruptedError());
      for (size_t t = 0; t < checkpoint_.uses[f].size(); ++t) AddWeight(f, t);
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

  void AddWeight(size_t file, size_t tensor) {
    TensorUse& use = checkpoint_.uses[file][tensor];
    auto found = FindWeight({checkpoint_.files[file].get(), tensor}, index_, config_);
    if (!found) {
      use.refusal = found.error().message;
      if (use.refusal.empty()) use.refusal = "can't be decoded";
    } else if (*found) {
      if ((*found)->open) {
        (*found)->float_dtype = MeantDType(**found, words_);
        for (size_t i = 1; i < (*found)->parts.size(); ++i) {
          companions_.insert((*found)->parts[i].info().name);
        }
        neighbours_.Add(**found);
      }
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
        if (!use.weight || !use.weight->open) continue;
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
        checkpoint_.uses[f][t] = {nullptr, true, ""};
      }
    }
  }

  const ModelWords& words_;
  QuantConfig config_;
  Neighbours neighbours_;
  bool keep_going_;
  const std::function<bool()>& stopped_;
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
    for (size_t t = 0; t < uses[f].size(); ++t) shapes.push_back(ShapeOf(f, t));
  }
  return shapes;
}

Result<Checkpoint> OpenCheckpoint(const ScanPlan& scan, const ModelWords& words, bool keep_going,
                                  const std::function<bool()>& stopped) {
  Opener opener(words, keep_going, stopped);
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

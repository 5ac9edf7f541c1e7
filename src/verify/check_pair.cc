#include "verify/check_pair.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/little_endian.h"
#include "measure/kernels.h"
#include "measure/quant_metrics.h"

namespace moe {
namespace {

/// In which plain weights are stored.
std::optional<ComputeDType> FloatOf(const Weight& weight) {
  if (!weight.is_plain()) return std::nullopt;
  return DefaultComputeDType(weight.parts.front().info().dtype);
}

double Relative(double sum_dd, double sum_aa) {
  if (sum_aa > 0) return std::sqrt(sum_dd / sum_aa);
  return sum_dd > 0 ? std::numeric_limits<double>::infinity() : 0;
}

/// Whether b is a + 1, rounded to its dtype.
bool IsPlusOne(std::span<const float> a, std::span<const float> b, ComputeDType dtype) {
  std::vector<float> more(a.begin(), a.end());
  for (float& x : more) x += 1;
  RoundToCompute(more.data(), more.size(), dtype);
  return std::ranges::equal(more, b);
}

/// What one pair is checked with.
class Check {
 public:
  Check(const WeightPair& pair, const OpenPair& opened, double tolerance)
      : pair_(pair),
        opened_(opened),
        tolerance_(tolerance),
        sums_(pair.b.view.cols),
        picker_(pair.b.view.rows, pair.b.view.cols) {}

  Result<PairCheck> Run(const Encodings& encodings) {
    if (const auto copied = FloatOf(pair_.b.weight())) return RunCopy(*copied);
    const auto encoding = encodings.find(pair_.b.weight().storage);
    if (encoding != encodings.end() && MlxSchemeOf(pair_.b.weight())) {
      auto stored = StoredCodes::Of(pair_.b, encoding->second);
      if (!stored) return tl::make_unexpected(stored.error());
      if (*stored) return RunRederived(**stored, encoding->second.dtype);
    }
    const Expectation expectation = ExpectationOf(pair_.b.weight());
    if (expectation.alike) {
      const auto quantizer = MakeQuantizer(*expectation.alike, QuantProfile::kMlxCpu,
                                           DefaultComputeDType(opened_.a->value_dtype()),
                                           pair_.b.view.rows, pair_.b.view.cols);
      if (quantizer) return RunSimulated(*quantizer);
    }
    return RunCeiling(expectation.ceiling);
  }

 private:
  template <class Visit>
  Result<PairCheck> Read(Method method, Visit visit) {
    auto read = ForTilesOf(*opened_.a, *opened_.b,
                           [&](const Tile& tile, std::span<float> a, std::span<float> b) {
                             visit(tile, a, b);
                             picker_.Add(tile, a, b);
                           });
    if (!read) return tl::make_unexpected(read.error());
    PairCheck check;
    check.method = method;
    check.numbers = sums_.numbers();
    check.a = picker_.a();
    check.b = picker_.b();
    return check;
  }

  Result<PairCheck> RunCopy(ComputeDType dtype) {
    bool plus_one = pair_.a.key.kind == WeightKey::Kind::kOther;
    auto check = Read(Method::kCopy, [&](const Tile& tile, std::span<float> a, std::span<float> b) {
      RoundToCompute(a.data(), a.size(), dtype);
      sums_.Add(tile, a, b);
      plus_one = plus_one && IsPlusOne(a, b, dtype);
    });
    if (!check) return check;
    check->allowed = kCopyError * tolerance_;
    check->plus_one = plus_one;
    return check;
  }

  Result<PairCheck> RunRederived(const StoredCodes& stored, ComputeDType dtype) {
    CodeDifferences differences;
    double expected = 0;
    auto check =
        Read(Method::kRederived, [&](const Tile& tile, std::span<float> a, std::span<float> b) {
          RoundToCompute(a.data(), a.size(), dtype);
          const double before = sums_.numbers().sum_dd;
          sums_.Add(tile, a, b);
          const bool differs = stored.Compare(tile, a, differences);
          expected += differs ? stored.ErrorOf(a) : sums_.numbers().sum_dd - before;
        });
    if (!check) return check;
    check->codes = differences;
    Expect(expected, *check);
    return check;
  }

  Result<PairCheck> RunSimulated(const Quantizer& quantizer) {
    double expected = 0;
    auto check =
        Read(Method::kSimulated, [&](const Tile& tile, std::span<float> a, std::span<float> b) {
          sums_.Add(tile, a, b);
          std::vector<float> rounded(a.begin(), a.end());
          RoundToCompute(rounded.data(), rounded.size(), quantizer.dtype);
          expected += SimulatedError(quantizer, rounded);
        });
    if (check) Expect(expected, *check);
    return check;
  }

  Result<PairCheck> RunCeiling(double ceiling) {
    auto check = Read(Method::kCeiling, [&](const Tile& tile, std::span<float> a,
                                            std::span<float> b) { sums_.Add(tile, a, b); });
    if (check) check->allowed = ceiling * tolerance_;
    return check;
  }

  void Expect(double sum_dd, PairCheck& check) const {
    check.expected = Relative(sum_dd, check.numbers.sum_aa);
    check.allowed = *check.expected * kAllowedRatio * tolerance_;
  }

  const WeightPair& pair_;
  const OpenPair& opened_;
  const double tolerance_;
  PairSums sums_;
  SketchPicker picker_;
};

/// The factor of all scales that NVFP4 has beside them in compressed-tensors and ModelOpt.
Result<std::optional<float>> GlobalScaleOf(const Weight& weight) {
  for (const TensorRef& part : weight.parts) {
    const std::string& name = part.info().name;
    const bool global = name.ends_with(".weight_global_scale") || name.ends_with(".weight_scale_2");
    if (!global || part.info().dtype != DType::kF32 || part.info().nbytes != sizeof(float))
      continue;
    const auto bytes = part.file->Bytes(part.index);
    if (!bytes) return tl::make_unexpected(bytes.error());
    return std::optional(std::bit_cast<float>(LoadLittleEndian<uint32_t>(bytes->data)));
  }
  return std::optional<float>();
}

/// Dtypes that weights may have had when a scheme of MLX was made of them, likeliest first.
std::vector<ComputeDType> DTypesOf(const WeightPair& pair, const MatrixSource& original) {
  if (const auto scales = ScaleDTypeOf(pair.b.weight())) return {*scales};
  std::vector<ComputeDType> dtypes = {DefaultComputeDType(original.value_dtype())};
  for (const ComputeDType dtype : {ComputeDType::kBF16, ComputeDType::kF16, ComputeDType::kF32}) {
    if (dtype != dtypes.front()) dtypes.push_back(dtype);
  }
  return dtypes;
}

/// How much of the first tile of a weight each encoding makes otherwise than it is stored.
class Probes {
 public:
  Result<void> Add(const WeightPair& pair, const QuantScheme& scheme, PairReader& reader) {
    const auto opened = reader.Open(pair);
    if (!opened) return tl::make_unexpected(opened.error());
    const Tile tile = Tiling(pair.b.view.rows, pair.b.view.cols)[0];
    std::vector<float> values(static_cast<size_t>(tile.rows * tile.cols));
    std::vector<float> stored(values.size());
    if (auto read = opened->a->Read(tile, values.data()); !read) return read;
    if (auto read = opened->b->Read(tile, stored.data()); !read) return read;
    if (values == stored) return {};  // taken over as it was: no encoder has seen it
    for (const ComputeDType dtype : DTypesOf(pair, *opened->a)) {
      for (const QuantProfile profile :
           {QuantProfile::kMlxCpu, QuantProfile::kMlxGpu, QuantProfile::kMlxCpuLegacy,
            QuantProfile::kMlxGpuLegacy}) {
        Tried& tried = Of({scheme, profile, dtype});
        if (auto done = Try(pair.b, tile, values, tried); !done) return done;
      }
    }
    return {};
  }

  /// The first of those that differ least; nullopt: nothing could be tried.
  std::optional<Encoding> Best() const {
    if (tried_.empty()) return std::nullopt;
    return std::ranges::min_element(tried_, {}, &Tried::differences)->encoding;
  }

 private:
  struct Tried {
    Encoding encoding;
    uint64_t differences = 0;
  };

  Tried& Of(const Encoding& encoding) {
    const auto found = std::ranges::find_if(tried_, [&](const Tried& tried) {
      return tried.encoding.profile == encoding.profile && tried.encoding.dtype == encoding.dtype;
    });
    return found != tried_.end() ? *found : tried_.emplace_back(Tried{encoding, 0});
  }

  static Result<void> Try(const WeightItem& item, const Tile& tile, std::vector<float> values,
                          Tried& tried) {
    const auto stored = StoredCodes::Of(item, tried.encoding);
    if (!stored) return tl::make_unexpected(stored.error());
    if (!*stored) return {};
    RoundToCompute(values.data(), values.size(), tried.encoding.dtype);
    CodeDifferences differences;
    (*stored)->Compare(tile, values, differences);
    tried.differences += differences.codes + differences.scales + differences.biases;
    return {};
  }

  std::vector<Tried> tried_;
};

}  // namespace

bool PairCheck::within() const {
  if (numbers.broken > 0) return false;
  if (attested() || is_copy()) return true;
  return error().value_or(std::numeric_limits<double>::infinity()) <= allowed;
}

Result<PairCheck> CheckPair(const WeightPair& pair, const OpenPair& opened,
                            const Encodings& encodings, double tolerance) {
  auto check = Check(pair, opened, tolerance).Run(encodings);
  if (!check) return check;
  const auto global = GlobalScaleOf(pair.b.weight());
  if (!global) return tl::make_unexpected(global.error());
  check->global_scale = *global;
  return check;
}

Result<Encodings> FindEncodings(const std::vector<WeightPair>& pairs) {
  constexpr size_t kProbes = 4;
  std::map<std::string, std::vector<const WeightPair*>> by_storage;
  for (const WeightPair& pair : pairs) {
    if (MlxSchemeOf(pair.b.weight())) by_storage[pair.b.weight().storage].push_back(&pair);
  }
  Encodings encodings;
  PairReader reader(pairs);
  for (const auto& [storage, of_storage] : by_storage) {
    Probes probes;
    const size_t step = std::max<size_t>(1, of_storage.size() / kProbes);
    for (size_t i = 0; i < of_storage.size(); i += step) {
      const WeightPair& pair = *of_storage[i];
      auto done = probes.Add(pair, *MlxSchemeOf(pair.b.weight()), reader);
      if (!done && done.error().code != ErrorCode::kUnsupported) {
        return tl::make_unexpected(done.error());
      }
    }
    if (const auto best = probes.Best()) encodings[storage] = *best;
  }
  return encodings;
}

}  // namespace moe

#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "base/float_convert.h"
#include "base/test_files.h"
#include "base/test_json.h"
#include "moescope/quantize.h"

namespace moe::oracle {

/// Raw tensors of one trusted safetensors file (tests/data/oracle); the product's own reader
/// belongs to another room.
class File {
 public:
  explicit File(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(in), {});
    uint64_t header_bytes = 0;
    std::memcpy(&header_bytes, bytes_.data(), 8);
    data_ = 8 + header_bytes;
    header_ = AsJson({bytes_.data() + 8, static_cast<size_t>(header_bytes)});
  }

  bool Has(const std::string& name) const { return header_.contains(name); }

  /// Elements of `name` widened to float.
  std::vector<float> Floats(const std::string& name) const {
    const std::string dtype = header_[name]["dtype"].text();
    if (dtype == "F32") return Elements<float>(name);
    if (dtype == "U8")
      return Widened<uint8_t>(name, [](uint8_t v) { return static_cast<float>(v); });
    if (dtype == "F16") return Widened<uint16_t>(name, HalfToFloat);
    return Widened<uint16_t>(name, BFloat16ToFloat);
  }

  /// As the file holds it.
  std::vector<std::byte> Bytes(const std::string& name) const { return Elements<std::byte>(name); }

  std::vector<uint32_t> Words(const std::string& name) const { return Elements<uint32_t>(name); }

 private:
  template <class T>
  std::vector<T> Elements(const std::string& name) const {
    const auto offsets = header_[name]["data_offsets"].get<std::vector<uint64_t>>();
    const uint64_t begin = offsets.at(0), end = offsets.at(1);
    std::vector<T> out((end - begin) / sizeof(T));
    std::memcpy(out.data(), bytes_.data() + data_ + begin, end - begin);
    return out;
  }

  template <class T, class F>
  std::vector<float> Widened(const std::string& name, F widen) const {
    std::vector<float> out;
    for (const T element : Elements<T>(name)) out.push_back(widen(element));
    return out;
  }

  std::vector<char> bytes_;
  uint64_t data_ = 0;
  Json header_;
};

/// One case of index.json.
struct Case {
  std::filesystem::path path;  ///< of its safetensors file
  std::string name;            ///< of its tensors: NAME.w, NAME.q, ...
  QuantScheme scheme;
  ComputeDType dtype = ComputeDType::kF32;
  QuantProfile profile = QuantProfile::kMlxCpu;
  uint64_t rows = 0, cols = 0;
  Json metrics;

  std::string Label() const { return path.filename().string() + " " + name; }
};

inline std::vector<Case> ReadCases(const char* folder, QuantProfile profile) {
  const std::filesystem::path root = TestData() / "oracle" / folder;
  const Json index = JsonOfFile(root / "index.json");
  std::vector<Case> cases;
  for (const auto& entry : index["cases"]) {
    Case c;
    c.path = root / entry["file"].text();
    c.name = entry["name"].text();
    c.scheme = {c.path.stem().string(), entry["mode"].text(), entry["bits"].get<int64_t>(),
                entry["group_size"].get<int64_t>()};
    const std::string dtype = entry["dtype"].text();
    c.dtype = dtype == "f32"   ? ComputeDType::kF32
              : dtype == "f16" ? ComputeDType::kF16
                               : ComputeDType::kBF16;
    c.profile = profile;
    c.rows = 1;
    for (const uint64_t size : entry["shape"].get<std::vector<uint64_t>>()) {
      c.rows *= c.cols == 0 ? 1 : c.cols;
      c.cols = size;
    }
    c.metrics = entry;
    cases.push_back(std::move(c));
  }
  return cases;
}

/// All cases of both folders: today's MLX, and the older one whose MX scales round to nearest.
inline const std::vector<Case>& AllCases() {
  static const std::vector<Case> cases = [] {
    auto all = ReadCases("mlx-0.32.4", QuantProfile::kMlxCpu);
    for (auto& c : ReadCases("mlx-0.32.0", QuantProfile::kMlxCpuLegacy)) all.push_back(c);
    return all;
  }();
  return cases;
}

/// Files are read once.
inline const File& FileOf(const Case& c) {
  static std::map<std::string, File> files;
  return files.try_emplace(c.path.string(), c.path).first->second;
}

}  // namespace moe::oracle

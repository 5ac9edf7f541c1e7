#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/float_convert.h"
#include "base/test_files.h"
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
    header_ = nlohmann::json::parse(bytes_.begin() + 8, bytes_.begin() + static_cast<long>(data_));
  }

  bool Has(const std::string& name) const { return header_.contains(name); }

  /// Elements of `name` widened to float.
  std::vector<float> Floats(const std::string& name) const {
    const std::string dtype = header_.at(name).at("dtype");
    if (dtype == "F32") return Elements<float>(name);
    if (dtype == "U8")
      return Widened<uint8_t>(name, [](uint8_t v) { return static_cast<float>(v); });
    if (dtype == "F16") return Widened<uint16_t>(name, HalfToFloat);
    return Widened<uint16_t>(name, BFloat16ToFloat);
  }

  std::vector<uint32_t> Words(const std::string& name) const { return Elements<uint32_t>(name); }

 private:
  template <class T>
  std::vector<T> Elements(const std::string& name) const {
    const auto& offsets = header_.at(name).at("data_offsets");
    const uint64_t begin = offsets[0], end = offsets[1];
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
  nlohmann::json header_;
};

/// One case of index.json.
struct Case {
  std::filesystem::path path;  ///< of its safetensors file
  std::string name;            ///< of its tensors: NAME.w, NAME.q, ...
  QuantScheme scheme;
  ComputeDType dtype = ComputeDType::kF32;
  QuantProfile profile = QuantProfile::kMlxCpu;
  uint64_t rows = 0, cols = 0;
  nlohmann::json metrics;

  std::string Label() const { return path.filename().string() + " " + name; }
};

inline std::vector<Case> ReadCases(const char* folder, QuantProfile profile) {
  const std::filesystem::path root = TestData() / "oracle" / folder;
  std::ifstream in(root / "index.json");
  const auto index = nlohmann::json::parse(in);
  std::vector<Case> cases;
  for (const auto& entry : index.at("cases")) {
    Case c;
    c.path = root / entry.at("file").get<std::string>();
    c.name = entry.at("name");
    c.scheme = {c.path.stem().string(), entry.at("mode"), entry.at("bits"), entry.at("group_size")};
    const std::string dtype = entry.at("dtype");
    c.dtype = dtype == "f32"   ? ComputeDType::kF32
              : dtype == "f16" ? ComputeDType::kF16
                               : ComputeDType::kBF16;
    c.profile = profile;
    c.rows = 1;
    for (const uint64_t size : entry.at("shape")) {
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

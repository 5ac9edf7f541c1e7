#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace moe {

// Importance matrices built by hand (checkpoints.md section 9), and models of zeros.

template <class T>
std::string RawNumber(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

inline std::string RawFloats(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * 4};
}

/// A tensor of a GGUF file: float32, `ne` fastest axis first.
struct GgufTensor {
  std::string name;
  std::vector<uint64_t> ne;
  std::vector<float> values;
  uint32_t type = 0;
};

inline std::string GgufText(const std::string& text) {
  return RawNumber<uint64_t>(text.size()) + text;
}

/// `kind`: general.type.
inline std::string GgufFile(const std::vector<GgufTensor>& tensors,
                            const std::string& kind = "imatrix") {
  constexpr size_t kAlign = 32;
  const auto pad = [](std::string& bytes) {
    bytes.resize((bytes.size() + kAlign - 1) / kAlign * kAlign);
  };
  std::string head = "GGUF" + RawNumber<uint32_t>(3) + RawNumber<uint64_t>(tensors.size()) +
                     RawNumber<uint64_t>(1) + GgufText("general.type") + RawNumber<uint32_t>(8) +
                     GgufText(kind);
  std::string data;
  for (const GgufTensor& tensor : tensors) {
    pad(data);
    head += GgufText(tensor.name) + RawNumber(static_cast<uint32_t>(tensor.ne.size()));
    for (const uint64_t size : tensor.ne) head += RawNumber(size);
    head += RawNumber(tensor.type) + RawNumber<uint64_t>(data.size());
    data += RawFloats(tensor.values);
  }
  pad(head);
  return head + data;
}

/// What an importance matrix holds of a weight: sums [matrices, columns] and counts.
struct Sums {
  std::string name;
  uint64_t columns = 0;
  std::vector<float> sums, counts;
};

inline std::string GgufImatrix(const std::vector<Sums>& entries) {
  std::vector<GgufTensor> tensors;
  for (const Sums& entry : entries) {
    tensors.push_back(
        {entry.name + ".in_sum2", {entry.columns, entry.sums.size() / entry.columns}, entry.sums});
    tensors.push_back({entry.name + ".counts", {1, entry.counts.size()}, entry.counts});
  }
  return GgufFile(tensors);
}

/// The older form: `values` are means times `calls`.
struct OlderEntry {
  std::string name;
  int32_t calls = 0;
  std::vector<float> values;
};

inline std::string OlderImatrix(const std::vector<OlderEntry>& entries) {
  std::string bytes = RawNumber(static_cast<int32_t>(entries.size()));
  for (const OlderEntry& entry : entries) {
    bytes += RawNumber(static_cast<int32_t>(entry.name.size())) + entry.name +
             RawNumber(entry.calls) + RawNumber(static_cast<int32_t>(entry.values.size())) +
             RawFloats(entry.values);
  }
  return bytes;
}

/// A safetensors file of bfloat16 zeros.
inline std::string ZeroTensors(
    const std::vector<std::pair<std::string, std::vector<uint64_t>>>& tensors) {
  std::string header = "{";
  uint64_t begin = 0;
  for (const auto& [name, shape] : tensors) {
    uint64_t end = 2;
    std::string sizes;
    for (const uint64_t size : shape) {
      end *= size;
      sizes += (sizes.empty() ? "" : ",") + std::to_string(size);
    }
    end += begin;
    header += (begin == 0 ? "\"" : ",\"") + name + R"(":{"dtype":"BF16","shape":[)" + sizes +
              R"(],"data_offsets":[)" + std::to_string(begin) + "," + std::to_string(end) + "]}";
    begin = end;
  }
  header += "}";
  return RawNumber<uint64_t>(header.size()) + header + std::string(begin, '\0');
}

}  // namespace moe

#include "measure/numpy_sample.h"

#include <algorithm>
#include <array>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace moe {
namespace {

__extension__ using Uint128 = unsigned __int128;

// NumPy's SeedSequence: spreads a seed over a pool of four words, then over the words asked for.
class SeedSequence {
 public:
  explicit SeedSequence(uint64_t seed) {
    const std::array<uint32_t, 4> entropy = {static_cast<uint32_t>(seed),
                                             static_cast<uint32_t>(seed >> 32), 0, 0};
    for (size_t i = 0; i < pool_.size(); ++i) pool_[i] = Hash(entropy[i]);
    for (size_t from = 0; from < pool_.size(); ++from) {
      for (size_t to = 0; to < pool_.size(); ++to) {
        if (from != to) pool_[to] = Mix(pool_[to], Hash(pool_[from]));
      }
    }
  }

  std::array<uint64_t, 4> Words() const {
    std::array<uint64_t, 4> words{};
    uint32_t factor = 0x8b51f9ddu;
    for (size_t i = 0; i < 8; ++i) {
      uint32_t value = pool_[i % 4] ^ factor;
      factor *= 0x58f38dedu;
      value *= factor;
      value ^= value >> 16;
      words[i / 2] |= uint64_t{value} << (i % 2 * 32);
    }
    return words;
  }

 private:
  uint32_t Hash(uint32_t value) {
    value ^= hash_factor_;
    hash_factor_ *= 0x931e8875u;
    value *= hash_factor_;
    return value ^ (value >> 16);
  }

  static uint32_t Mix(uint32_t x, uint32_t y) {
    const uint32_t mixed = 0xca01f9ddu * x - 0x4973f715u * y;
    return mixed ^ (mixed >> 16);
  }

  std::array<uint32_t, 4> pool_{};
  uint32_t hash_factor_ = 0x43b0d7e5u;
};

// PCG64 (XSL-RR 128/64) with NumPy's way of cutting 64-bit draws in halves.
class Generator {
 public:
  explicit Generator(uint64_t seed) {
    const auto words = SeedSequence(seed).Words();
    increment_ = (((Uint128{words[2]} << 64) | words[3]) << 1) | 1;
    Step();
    state_ += (Uint128{words[0]} << 64) | words[1];
    Step();
  }

  /// Uniform in 0..last.
  uint64_t UpTo(uint64_t last) {
    if (last == 0) return 0;
    if (last < 0xffffffffu) return UpTo32(static_cast<uint32_t>(last));
    if (last == 0xffffffffu) return Draw32();
    return UpTo64(last);
  }

 private:
  void Step() {
    constexpr Uint128 kMultiplier = (Uint128{0x2360ED051FC65DA4ull} << 64) | 0x4385DF649FCCF645ull;
    state_ = state_ * kMultiplier + increment_;
  }

  uint64_t Draw64() {
    Step();
    const auto folded = static_cast<uint64_t>(state_ >> 64) ^ static_cast<uint64_t>(state_);
    const auto turn = static_cast<unsigned>(state_ >> 122);
    return (folded >> turn) | (folded << ((64 - turn) % 64));
  }

  uint32_t Draw32() {
    if (has_half_) {
      has_half_ = false;
      return half_;
    }
    const uint64_t draw = Draw64();
    half_ = static_cast<uint32_t>(draw >> 32);
    has_half_ = true;
    return static_cast<uint32_t>(draw);
  }

  // Lemire's method: the high half of draw * range, unless the low half falls in the biased part.
  uint32_t UpTo32(uint32_t last) {
    const uint32_t range = last + 1;
    uint64_t product = uint64_t{Draw32()} * range;
    if (static_cast<uint32_t>(product) < range) {
      const uint32_t threshold = (0xffffffffu - last) % range;
      while (static_cast<uint32_t>(product) < threshold) product = uint64_t{Draw32()} * range;
    }
    return static_cast<uint32_t>(product >> 32);
  }

  uint64_t UpTo64(uint64_t last) {
    const uint64_t range = last + 1;
    Uint128 product = Uint128{Draw64()} * range;
    if (static_cast<uint64_t>(product) < range) {
      const uint64_t threshold = (~uint64_t{0} - last) % range;
      while (static_cast<uint64_t>(product) < threshold) product = Uint128{Draw64()} * range;
    }
    return static_cast<uint64_t>(product >> 64);
  }

  Uint128 state_ = 0, increment_ = 0;
  uint32_t half_ = 0;
  bool has_half_ = false;
};

// The last k places of 0..n-1 after shuffling only them. `moved` holds the places whose value is no
// longer their index.
std::vector<int64_t> TailShuffle(uint64_t n, uint64_t k, Generator& generator) {
  std::unordered_map<uint64_t, uint64_t> moved;
  moved.reserve(2 * k);
  for (uint64_t i = n - 1; i >= std::max<uint64_t>(n - k, 1); --i) {
    const uint64_t j = generator.UpTo(i);
    uint64_t& at_i = moved.try_emplace(i, i).first->second;
    std::swap(at_i, moved.try_emplace(j, j).first->second);
  }
  std::vector<int64_t> sample(k);
  for (uint64_t i = 0; i < k; ++i) {
    const auto found = moved.find(n - k + i);
    sample[i] = static_cast<int64_t>(found == moved.end() ? n - k + i : found->second);
  }
  return sample;
}

// Floyd's method, then a shuffle of what it found.
std::vector<int64_t> FloydSample(uint64_t n, uint64_t k, Generator& generator) {
  std::unordered_set<uint64_t> taken;
  taken.reserve(k);
  std::vector<int64_t> sample;
  sample.reserve(k);
  for (uint64_t j = n - k; j < n; ++j) {
    uint64_t value = generator.UpTo(j);
    if (!taken.insert(value).second) taken.insert(value = j);
    sample.push_back(static_cast<int64_t>(value));
  }
  for (uint64_t i = k; i-- > 1;) std::swap(sample[i], sample[generator.UpTo(i)]);
  return sample;
}

}  // namespace

Result<std::vector<int64_t>> SampleIndices(uint64_t n, uint64_t k, uint64_t seed) {
  if (k > n || n > static_cast<uint64_t>(INT64_MAX)) {
    return Fail(
        ErrorCode::kBadArgument, "sample",
        "can't take " + std::to_string(k) + " distinct indices out of " + std::to_string(n));
  }
  Generator generator(seed);
  constexpr uint64_t kAlwaysFloyd = 10000;
  if (k == 0) return std::vector<int64_t>{};
  return n > kAlwaysFloyd && k > n / 50 ? TailShuffle(n, k, generator)
                                        : FloydSample(n, k, generator);
}

}  // namespace moe

#include "tables/aggregate.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>

namespace moe {
namespace {

// Dense numbers of keys: equal keys have equal ranks, smaller keys smaller ones.
struct Ranks {
  std::vector<uint64_t> of_row;
  uint64_t count = 0;
};

// Replaces each key by its rank among the distinct ones.
Ranks Compact(std::vector<uint64_t> keys, uint64_t key_limit) {
  const uint64_t table_limit = 4 * keys.size() + 1024;
  if (key_limit <= table_limit) {
    std::vector<uint64_t> rank(key_limit, 0);
    for (const uint64_t key : keys) rank[key] = 1;
    std::exclusive_scan(rank.begin(), rank.end(), rank.begin(), uint64_t{0});
    // Behind the scan a used key holds its rank; the last one gives the count.
    uint64_t count = 0;
    for (uint64_t& key : keys) {
      key = rank[key];
      count = std::max(count, key + 1);
    }
    return {std::move(keys), count};
  }
  std::vector<uint64_t> distinct = keys;
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  for (uint64_t& key : keys) {
    key = static_cast<uint64_t>(std::lower_bound(distinct.begin(), distinct.end(), key) -
                                distinct.begin());
  }
  return {std::move(keys), distinct.size()};
}

Ranks RankInts(const FrameColumn& column) {
  int64_t low = std::numeric_limits<int64_t>::max();
  int64_t high = std::numeric_limits<int64_t>::min();
  for (size_t i = 0; i < column.ints.size(); ++i) {
    if (!column.valid[i]) continue;
    low = std::min(low, column.ints[i]);
    high = std::max(high, column.ints[i]);
  }
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  const uint64_t range = high < low ? 0 : static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  std::vector<uint64_t> keys(column.ints.size(), 0);
  for (size_t i = 0; i < keys.size(); ++i) {
    if (column.valid[i]) {
      keys[i] = static_cast<uint64_t>(column.ints[i]) - static_cast<uint64_t>(low);
    }
  }
  Ranks ranks = Compact(std::move(keys), range == kMax ? kMax : range + 1);
  for (size_t i = 0; i < ranks.of_row.size(); ++i) {
    if (!column.valid[i]) ranks.of_row[i] = ranks.count;  // nulls last
  }
  ++ranks.count;
  return ranks;
}

Ranks RankTexts(const FrameColumn& column) {
  const size_t count = column.dictionary.size();
  std::vector<uint32_t> by_text(count);
  std::iota(by_text.begin(), by_text.end(), 0u);
  std::sort(by_text.begin(), by_text.end(),
            [&](uint32_t a, uint32_t b) { return column.dictionary[a] < column.dictionary[b]; });
  std::vector<uint64_t> rank(count);
  for (size_t i = 0; i < count; ++i) rank[by_text[i]] = i;
  std::vector<uint64_t> keys;
  keys.reserve(column.codes.size());
  for (const uint32_t code : column.codes) {
    keys.push_back(code == FrameColumn::kNullCode ? count : rank[code]);
  }
  return {std::move(keys), count + 1};
}

Ranks RankColumn(const FrameColumn& column) {
  assert(column.type != ColumnType::kDouble);
  return column.type == ColumnType::kString ? RankTexts(column) : RankInts(column);
}

// Ranks of the pair (a, b), ordered by a, then b.
Ranks Combine(Ranks a, const Ranks& b) {
  // Each count is at most the number of rows or texts, plus one: below 2^33. So compacting the left
  // side is enough to keep the product small.
  constexpr uint64_t kProductLimit = uint64_t{1} << 62;
  if (b.count > 0 && a.count > kProductLimit / b.count) {
    a = Compact(std::move(a.of_row), a.count);
  }
  for (size_t i = 0; i < a.of_row.size(); ++i) a.of_row[i] = a.of_row[i] * b.count + b.of_row[i];
  a.count *= b.count;
  return a;
}

double CompensatedSum(std::span<const double> values) {
  double sum = 0, lost = 0;
  for (const double value : values) {
    const double next = sum + value;
    lost += std::abs(sum) >= std::abs(value) ? (sum - next) + value : (value - next) + sum;
    sum = next;
  }
  return std::isfinite(sum) ? sum + lost : sum;
}

double Mean(std::span<const double> values) {
  return CompensatedSum(values) / static_cast<double>(values.size());
}

double SampleStd(std::span<const double> values) {
  if (values.size() < 2) return std::nan("");
  const double mean = Mean(values);
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

// The value of rank k (0 is the smallest) of a span that is rearranged.
double NthSmallest(std::span<double> values, size_t k) {
  const auto nth = values.begin() + static_cast<std::ptrdiff_t>(k);
  std::nth_element(values.begin(), nth, values.end());
  return *nth;
}

double Compute(Aggregate aggregate, std::span<double> values) {
  switch (aggregate) {
    case Aggregate::kMin:
      return *std::min_element(values.begin(), values.end());
    case Aggregate::kP01:
      return Quantile(values, 0.01);
    case Aggregate::kMedian:
      return Quantile(values, 0.5);
    case Aggregate::kMean:
      return Mean(values);
    case Aggregate::kStd:
      return SampleStd(values);
    case Aggregate::kP90:
      return Quantile(values, 0.90);
    case Aggregate::kP99:
      return Quantile(values, 0.99);
    case Aggregate::kMax:
      return *std::max_element(values.begin(), values.end());
  }
  return std::nan("");
}

}  // namespace

double Quantile(std::span<double> values, double q) {
  const double position = static_cast<double>(values.size() - 1) * q;
  const auto below = static_cast<size_t>(position);
  const double a = NthSmallest(values, below);
  const double fraction = position - static_cast<double>(below);
  if (fraction == 0) return a;
  // nth_element left everything larger behind it.
  const double b =
      *std::min_element(values.begin() + static_cast<std::ptrdiff_t>(below) + 1, values.end());
  return a == b ? a : a + (b - a) * fraction;
}

Groups GroupBy(const Frame& frame, std::span<const std::string_view> keys) {
  assert(frame.rows < std::numeric_limits<uint32_t>::max());
  Ranks ranks{std::vector<uint64_t>(frame.rows, 0), 1};
  for (const std::string_view key : keys) {
    ranks = Combine(std::move(ranks), RankColumn(frame.at(key)));
  }
  ranks = Compact(std::move(ranks.of_row), ranks.count);

  Groups groups;
  groups.begin.assign(ranks.count + 1, 0);
  for (const uint64_t rank : ranks.of_row) ++groups.begin[rank + 1];
  std::partial_sum(groups.begin.begin(), groups.begin.end(), groups.begin.begin());
  groups.order.resize(frame.rows);
  std::vector<uint32_t> next = groups.begin;
  for (uint32_t row = 0; row < frame.rows; ++row) groups.order[next[ranks.of_row[row]]++] = row;
  return groups;
}

std::string TextOr(const FrameColumn& column, uint64_t row, std::string_view absent) {
  const uint32_t code = column.codes[row];
  return code == FrameColumn::kNullCode ? std::string(absent) : column.dictionary[code];
}

Value CellValue(const FrameColumn& column, uint32_t row) {
  switch (column.type) {
    case ColumnType::kString: {
      const uint32_t code = column.codes[row];
      return code == FrameColumn::kNullCode ? Value() : Value(column.dictionary[code]);
    }
    case ColumnType::kDouble:
      return std::isnan(column.doubles[row]) ? Value() : Value(column.doubles[row]);
    case ColumnType::kInt64:
      return column.valid[row] ? Value(column.ints[row]) : Value();
    case ColumnType::kBool:
      return column.valid[row] ? Value(column.ints[row] != 0) : Value();
    case ColumnType::kInt64List:
      break;  // never read, see WantedColumn
  }
  return {};
}

std::string_view AggregateName(Aggregate aggregate) {
  switch (aggregate) {
    case Aggregate::kMin:
      return "min";
    case Aggregate::kP01:
      return "p01";
    case Aggregate::kMedian:
      return "median";
    case Aggregate::kMean:
      return "mean";
    case Aggregate::kStd:
      return "std";
    case Aggregate::kP90:
      return "p90";
    case Aggregate::kP99:
      return "p99";
    case Aggregate::kMax:
      return "max";
  }
  return {};
}

void AppendAggregates(std::span<double> values, std::span<const Aggregate> aggregates, Row& out) {
  for (const Aggregate aggregate : aggregates) {
    const double result = values.empty() ? std::nan("") : Compute(aggregate, values);
    if (std::isnan(result)) {
      out.emplace_back();
    } else {
      out.emplace_back(result);
    }
  }
}

}  // namespace moe

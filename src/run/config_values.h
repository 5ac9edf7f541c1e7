#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/text.h"
#include "run/config.h"
#include "run/config_keys.h"

namespace moe {

// How the value of a key gets to where the program looks for it: what ConfigKey::fill of the rows
// of the table of keys is. Types are right; what else can't be used fails.

template <class T>
T& LastOf(T& value) {
  return value;
}
template <class T>
T& LastOf(std::vector<T>& list) {
  return list.back();
}

/// The member that the pointers lead to, one after the other; in a list, that of its last element.
template <auto kFirst, auto... kRest>
auto& MemberOf(auto& object) {
  auto& member = LastOf(object).*kFirst;
  if constexpr (sizeof...(kRest) == 0) {
    return member;
  } else {
    return MemberOf<kRest...>(member);
  }
}

template <class T>
void Assign(const Json& value, T& member) {
  member = value.get<T>();
}
template <class T>
void Assign(const Json& value, std::optional<T>& member) {
  member = value.get<T>();
}

/// The value as it is: Into<&Config::scan, &ScanOptions::max_files>.
template <auto... kPath>
Result<void> Into(const Json& value, const KeyPlace&, Config& config) {
  Assign(value, MemberOf<kPath...>(config));
  return {};
}

/// Of a list of objects: another element, which the rows of its keys fill.
template <auto... kPath>
Result<void> Append(const Json&, const KeyPlace&, Config& config) {
  MemberOf<kPath...>(config).emplace_back();
  return {};
}

/// Of a picture that is true, false or an object, whose `enabled` is filled already; null: not
/// said.
template <auto kPlot>
Result<void> ReadSwitch(const Json& value, const KeyPlace&, Config& config) {
  std::optional<bool>& enabled = (config.plots.*kPlot).enabled;
  if (value.is_boolean()) enabled = value.get<bool>();
  if (value.is_null()) enabled.reset();
  return {};
}

template <auto kPlot>
Result<void> ReadMetric(const Json& value, const KeyPlace& place, Config& config) {
  std::string& metric = (config.plots.*kPlot).metric;
  metric = Trimmed(value.text());
  if (metric.empty()) return place.Bad("must not be empty");
  return {};
}

using ReadKey = Result<void>(const Json& value, const KeyPlace& place, Config& config);

ReadKey ReadRecursive, ReadCoverage, ReadAliases, ReadLayout, ReadPackedSplit, ReadDevice,
    ReadBackend, ReadProfile, ReadEps, ReadSampleSize, ReadPercentileMethod, ReadComputeDType,
    ReadFloor, ReadPercentiles, ReadGroupPercentile, ReadGroupSizes, ReadWithoutEffect, ReadScheme,
    ReadArtifactKeys;

}  // namespace moe

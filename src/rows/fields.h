#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rows/schema.h"

namespace moe {

// What declarations of tables are made of.

inline constexpr bool kNullable = true;
inline constexpr bool kNeverNull = false;

// ---- columns that are no metrics ----

inline Column Text(std::string name, std::string doc, bool nullable = kNeverNull) {
  return {std::move(name), ColumnType::kString, nullable, "", std::move(doc)};
}

inline Column Integer(std::string name, std::string unit, std::string doc,
                      bool nullable = kNeverNull) {
  return {std::move(name), ColumnType::kInt64, nullable, std::move(unit), std::move(doc)};
}

inline Column Flag(std::string name, std::string doc, bool nullable = kNeverNull) {
  return {std::move(name), ColumnType::kBool, nullable, "", std::move(doc)};
}

// ---- cells ----

inline Value ToValue(const std::string& value) { return value; }
inline Value ToValue(bool value) { return value; }
inline Value ToValue(int64_t value) { return value; }
inline Value ToValue(uint64_t value) { return static_cast<int64_t>(value); }
inline Value ToValue(double value) { return value; }
inline Value ToValue(const std::vector<uint64_t>& value) {
  return std::vector<int64_t>(value.begin(), value.end());
}
template <class T>
Value ToValue(const std::optional<T>& value) {
  return value ? ToValue(*value) : Value();
}

template <class R>
using Fields = std::vector<typename Table<R>::Field>;

/// A column that holds a member of the record.
template <class R, class T>
typename Table<R>::Field Cell(Column column, T R::* member) {
  return {std::move(column), [member](const R& record) { return ToValue(record.*member); }};
}

/// A column that holds a member of a member.
template <class R, class S, class T>
typename Table<R>::Field Cell(Column column, S R::* part, T S::* member) {
  return {std::move(column),
          [part, member](const R& record) { return ToValue(record.*part.*member); }};
}

}  // namespace moe

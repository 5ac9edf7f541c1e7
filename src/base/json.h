#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace moe {

/// How a JSON text is written. Bytes that are no UTF-8 become U+FFFD, numbers that are not finite
/// null.
struct JsonStyle {
  bool indented = false;  ///< by 2
  bool ascii = false;     ///< other characters as \u escapes
  bool sorted = false;    ///< keys, at every level
};

/// A key of an object and its value.
template <class Value>
struct JsonMember {
  std::string key;
  Value value;
  friend bool operator==(const JsonMember& a, const JsonMember& b) = default;
};

/// A JSON value. Objects keep the order in which their keys were added.
///
/// What is asked of a value of another kind is answered by what an empty one has: get<T>() gives 0
/// or "", iteration nothing, Find() null.
class Json {
 public:
  using Member = JsonMember<Json>;
  using List = std::vector<Json>;
  using Members = std::vector<Member>;

  // NOLINTBEGIN(google-explicit-constructor): values become JSON where they stand
  Json();  ///< null
  Json(std::nullptr_t);
  template <class T>
    requires std::is_arithmetic_v<T>
  Json(T number) : value_(Stored(number)) {}
  template <class T>
    requires std::is_convertible_v<const T&, std::string_view>
  Json(const T& text) : value_(std::string(std::string_view(text))) {}
  Json(std::initializer_list<Member> members);  ///< an object: {{"a", 1}, {"b", "c"}}
  /// A list of what the range holds; of pairs whose first is a text (a map), an object.
  template <class Range>
    requires(std::ranges::input_range<const Range> && std::is_class_v<Range> &&
             !std::is_convertible_v<const Range&, std::string_view> && !std::is_same_v<Range, Json>)
  Json(const Range& range);
  // NOLINTEND(google-explicit-constructor)
  Json(const Json& other);
  Json(Json&& other) noexcept;
  Json& operator=(Json other) noexcept;
  ~Json();

  static Json Object();  ///< empty
  static Json Object(Members members);
  static Json Array();  ///< empty
  static Json Array(List items);
  /// nullopt: is no JSON, or nested deeper than kDeepest.
  static std::optional<Json> Parse(std::string_view text);
  static constexpr size_t kDeepest = 200;

  bool is_null() const { return Is<std::nullptr_t>(); }
  bool is_boolean() const { return Is<bool>(); }
  bool is_number_integer() const { return Is<int64_t>() || Is<uint64_t>(); }
  bool is_number_unsigned() const { return Is<uint64_t>(); }  ///< as texts have it without a sign
  bool is_number_float() const { return Is<double>(); }
  bool is_number() const { return is_number_integer() || is_number_float(); }
  bool is_string() const { return Is<std::string>(); }
  bool is_array() const { return Is<List>(); }
  bool is_object() const { return Is<Members>(); }

  /// bool, a number type (converted as by static_cast), std::string, or a vector of these.
  template <class T>
  T get() const {
    if constexpr (std::is_same_v<T, bool>) {
      return Is<bool>() && std::get<bool>(value_);
    } else if constexpr (std::is_arithmetic_v<T>) {
      if (Is<int64_t>()) return static_cast<T>(std::get<int64_t>(value_));
      if (Is<uint64_t>()) return static_cast<T>(std::get<uint64_t>(value_));
      return Is<double>() ? static_cast<T>(std::get<double>(value_)) : T{};
    } else if constexpr (std::is_same_v<T, std::string>) {
      return text();
    } else {
      T list;
      for (const Json& item : *this) list.push_back(item.get<typename T::value_type>());
      return list;
    }
  }
  const std::string& text() const;  ///< of a string

  size_t size() const;  ///< of a list or object
  bool empty() const { return size() == 0; }

  // Lists.
  List::const_iterator begin() const;
  List::const_iterator end() const;
  template <std::integral Index>
  const Json& operator[](Index index) const {  ///< null beyond the end
    return Item(static_cast<size_t>(index));
  }
  const Json& front() const { return Item(0); }
  const Json& back() const { return Item(size() - 1); }
  Json& back();               ///< of a list that is not empty
  void push_back(Json item);  ///< null becomes a list

  // Objects.
  const Members& items() const;
  const Json* Find(std::string_view key) const;  ///< null: has no such key
  bool contains(std::string_view key) const { return Find(key) != nullptr; }
  const Json& operator[](std::string_view key) const;  ///< null if it isn't there
  const Json& operator[](const char* key) const { return (*this)[std::string_view(key)]; }
  Json& operator[](std::string_view key);  ///< added if it isn't there; null becomes an object
  Json& operator[](const char* key) { return (*this)[std::string_view(key)]; }
  void erase(std::string_view key);
  void Update(const Json& object);  ///< sets all its members

  /// The value at "/key/0/key" (RFC 6901, without its escapes); null: there is none.
  const Json* At(std::string_view pointer) const;

  std::string Text(const JsonStyle& style = {}) const;

  /// Numbers of different kinds are compared as numbers; objects with the order of their keys.
  friend bool operator==(const Json& a, const Json& b);

 private:
  /// As value_ has it: bool, double, int64_t or uint64_t.
  template <class T>
  static constexpr auto Stored(T number) {
    if constexpr (std::is_same_v<T, bool>) {
      return number;
    } else if constexpr (std::is_floating_point_v<T>) {
      return static_cast<double>(number);
    } else {
      return static_cast<std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>>(number);
    }
  }
  const Json& Item(size_t index) const;
  template <class T>
  bool Is() const {
    return std::holds_alternative<T>(value_);
  }

  std::variant<std::nullptr_t, bool, int64_t, uint64_t, double, std::string, List, Members> value_;
};

template <class Range>
  requires(std::ranges::input_range<const Range> && std::is_class_v<Range> &&
           !std::is_convertible_v<const Range&, std::string_view> && !std::is_same_v<Range, Json>)
Json::Json(const Range& range) {
  if constexpr (requires { std::string(range.begin()->first); }) {
    value_ = Members();
    for (const auto& [key, value] : range) (*this)[std::string_view(key)] = value;
  } else {
    value_ = List();
    for (const auto& item : range) push_back(item);
  }
}

/// The value, or a JSON null for nullopt.
template <class T>
Json OrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

/// Receives the values of a JSON text as they come. Each returns false to end the reading.
class JsonEvents {
 public:
  virtual ~JsonEvents() = default;
  virtual bool Null() = 0;
  virtual bool Bool(bool value) = 0;
  virtual bool Integer(int64_t value) = 0;  ///< with a sign
  virtual bool Unsigned(uint64_t value) = 0;
  virtual bool Float(double value,
                     std::string_view digits) = 0;  ///< also whole ones of 2^64 and on
  virtual bool Text(std::string& text) = 0;
  virtual bool BeginObject() = 0;
  virtual bool Key(std::string& key) = 0;
  virtual bool EndObject() = 0;
  virtual bool BeginArray() = 0;
  virtual bool EndArray() = 0;
};

/// Where and why a text is no JSON.
struct JsonFault {
  size_t byte = 0;
  std::string message;    ///< "parse error at line 1, column 2: ..."
  std::string last_read;  ///< "; last read: '...'", with bytes of the text
};

/// nullopt: read to its end, or to where `events` ended it.
std::optional<JsonFault> ReadJson(std::string_view text, JsonEvents& events);

}  // namespace moe

#include "base/json.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/json_builder.h"

namespace moe {
namespace {

using Library = nlohmann::ordered_json;

const Json kNull;

/// Hands the library's events on.
class Listener : public nlohmann::json_sax<Library> {
 public:
  explicit Listener(JsonEvents& events) : events_(events) {}

  bool null() override { return events_.Null(); }
  bool boolean(bool value) override { return events_.Bool(value); }
  bool number_integer(int64_t value) override { return events_.Integer(value); }
  bool number_unsigned(uint64_t value) override { return events_.Unsigned(value); }
  bool number_float(double value, const std::string& digits) override {
    return events_.Float(value, digits);
  }
  bool string(std::string& text) override { return events_.Text(text); }
  bool binary(Library::binary_t&) override { return false; }  // texts have none
  bool start_object(size_t) override { return events_.BeginObject(); }
  bool key(std::string& name) override { return events_.Key(name); }
  bool end_object() override { return events_.EndObject(); }
  bool start_array(size_t) override { return events_.BeginArray(); }
  bool end_array() override { return events_.EndArray(); }

  bool parse_error(size_t byte, const std::string&, const Library::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line ...; last read: '...'"
    std::string_view what = error.what();
    if (const size_t id_end = what.find("] "); id_end != what.npos) what.remove_prefix(id_end + 2);
    const size_t read = std::min(what.find("; last read"), what.size());
    fault = {byte, std::string(what.substr(0, read)), std::string(what.substr(read))};
    return false;
  }

  std::optional<JsonFault> fault;

 private:
  JsonEvents& events_;
};

/// `object`'s members in the order of `style`.
std::vector<const Json::Member*> InOrder(const Json& object, const JsonStyle& style) {
  std::vector<const Json::Member*> members;
  for (const Json::Member& member : object.items()) members.push_back(&member);
  if (style.sorted) {
    std::ranges::sort(members, {}, [](const auto* member) -> const auto& { return member->key; });
  }
  return members;
}

Library ToLibrary(const Json& json, const JsonStyle& style) {
  if (json.is_object()) {
    Library object = Library::object();
    for (const auto* member : InOrder(json, style)) {
      object.emplace(member->key, ToLibrary(member->value, style));
    }
    return object;
  }
  if (json.is_array()) {
    Library list = Library::array();
    for (const Json& item : json) list.push_back(ToLibrary(item, style));
    return list;
  }
  if (json.is_string()) return json.text();
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_float()) return json.get<double>();
  if (json.is_number_unsigned()) return json.get<uint64_t>();
  if (json.is_number_integer()) return json.get<int64_t>();
  return nullptr;
}

}  // namespace

Json::Json() = default;
Json::Json(std::nullptr_t) {}
Json::Json(std::initializer_list<Member> members) : value_(Members()) {
  for (const Member& member : members) (*this)[member.key] = member.value;
}
Json::Json(const Json& other) = default;
Json::Json(Json&& other) noexcept : value_(std::exchange(other.value_, nullptr)) {}
Json& Json::operator=(Json other) noexcept {
  value_ = std::move(other.value_);
  return *this;
}
Json::~Json() = default;

Json Json::Object() { return Object(Members()); }
Json Json::Object(Members members) {
  Json json;
  json.value_ = std::move(members);
  return json;
}

Json Json::Array() { return Array(List()); }
Json Json::Array(List items) {
  Json json;
  json.value_ = std::move(items);
  return json;
}

std::optional<Json> Json::Parse(std::string_view text) {
  JsonBuilder builder;
  if (ReadJson(text, builder) || builder.too_deep()) return std::nullopt;
  return builder.Take();
}

const std::string& Json::text() const {
  static const std::string kNone;
  return Is<std::string>() ? std::get<std::string>(value_) : kNone;
}

size_t Json::size() const { return is_array() ? std::get<List>(value_).size() : items().size(); }

Json::List::const_iterator Json::begin() const {
  return is_array() ? std::get<List>(value_).begin() : List::const_iterator();
}
Json::List::const_iterator Json::end() const {
  return is_array() ? std::get<List>(value_).end() : List::const_iterator();
}

const Json& Json::Item(size_t index) const {
  return is_array() && index < size() ? std::get<List>(value_)[index] : kNull;
}

Json& Json::back() { return std::get<List>(value_).back(); }

void Json::push_back(Json item) {
  if (is_null()) value_ = List();
  std::get<List>(value_).push_back(std::move(item));
}

const Json::Members& Json::items() const {
  static const Members kNone;
  return is_object() ? std::get<Members>(value_) : kNone;
}

const Json* Json::Find(std::string_view key) const {
  const auto found = std::ranges::find(items(), key, &Member::key);
  return found == items().end() ? nullptr : &found->value;
}

const Json& Json::operator[](std::string_view key) const {
  const Json* found = Find(key);
  return found == nullptr ? kNull : *found;
}

Json& Json::operator[](std::string_view key) {
  if (is_null()) value_ = Members();
  auto& members = std::get<Members>(value_);
  const auto found = std::ranges::find(members, key, &Member::key);
  if (found != members.end()) return found->value;
  return members.emplace_back(Member{std::string(key), Json()}).value;
}

void Json::erase(std::string_view key) {
  if (!is_object()) return;
  std::erase_if(std::get<Members>(value_), [&](const Member& member) { return member.key == key; });
}

void Json::Update(const Json& object) {
  for (const auto& [key, value] : object.items()) (*this)[key] = value;
}

const Json* Json::At(std::string_view pointer) const {
  const Json* at = this;
  while (at != nullptr && !pointer.empty()) {
    pointer.remove_prefix(1);
    const std::string_view word = pointer.substr(0, pointer.find('/'));
    pointer.remove_prefix(word.size());
    if (!at->is_array()) {
      at = at->Find(word);
      continue;
    }
    size_t index = at->size();
    std::from_chars(word.data(), word.data() + word.size(), index);
    at = index < at->size() ? &at->Item(index) : nullptr;
  }
  return at;
}

std::string Json::Text(const JsonStyle& style) const {
  return ToLibrary(*this, style)
      .dump(style.indented ? 2 : -1, ' ', style.ascii, Library::error_handler_t::replace);
}

bool operator==(const Json& a, const Json& b) {
  if (a.value_.index() == b.value_.index()) return a.value_ == b.value_;
  if (!a.is_number() || !b.is_number()) return false;
  if (a.is_number_float() || b.is_number_float()) return a.get<double>() == b.get<double>();
  const Json& with_sign = a.is_number_unsigned() ? b : a;
  return with_sign.get<int64_t>() >= 0 && a.get<uint64_t>() == b.get<uint64_t>();
}

std::optional<JsonFault> ReadJson(std::string_view text, JsonEvents& events) {
  Listener listener(events);
  Library::sax_parse(text.begin(), text.end(), &listener);
  return std::move(listener.fault);
}

}  // namespace moe

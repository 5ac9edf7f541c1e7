#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/json.h"

namespace moe {

/// Makes the value of a text. Of a key that stands twice in an object the last value counts.
class JsonBuilder : public JsonEvents {
 public:
  /// What a string stands for; by default itself.
  std::function<Json(const std::string&)> from_text;
  /// Told of each key that its object has already: the keys on the way there, itself last.
  std::function<void(const std::vector<std::string>&)> on_duplicate;

  bool too_deep() const { return too_deep_; }  ///< ended where it is deeper than Json::kDeepest
  Json Take() { return std::move(root_); }

  bool Null() override { return Put({}); }
  bool Bool(bool value) override { return Put(value); }
  bool Integer(int64_t value) override { return Put(value); }
  bool Unsigned(uint64_t value) override { return Put(value); }
  bool Float(double value, std::string_view) override { return Put(value); }
  bool Text(std::string& text) override { return Put(from_text ? from_text(text) : Json(text)); }
  bool BeginObject() override { return Open(false); }
  bool Key(std::string& key) override;
  bool EndObject() override { return Close(); }
  bool BeginArray() override { return Open(true); }
  bool EndArray() override { return Close(); }

 private:
  /// A list or object that is being read.
  struct Within {
    bool is_list = false;
    Json::List items;
    Json::Members members;
    std::string key = {};                            // of the member that comes, or is being read
    std::unordered_map<std::string, size_t> places;  // of members, by key
  };

  bool Put(Json value);
  bool Open(bool is_list);
  bool Close();

  Json root_;
  std::vector<Within> open_;
  bool too_deep_ = false;
};

}  // namespace moe

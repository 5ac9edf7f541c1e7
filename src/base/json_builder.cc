#include "base/json_builder.h"

namespace moe {

bool JsonBuilder::Put(Json value) {
  if (open_.empty()) {
    root_ = std::move(value);
  } else if (Within& within = open_.back(); within.is_list) {
    within.items.push_back(std::move(value));
  } else {
    within.members[within.places.at(within.key)].value = std::move(value);
  }
  return true;
}

bool JsonBuilder::Key(std::string& key) {
  Within& within = open_.back();
  within.key = key;
  if (within.places.emplace(key, within.members.size()).second) {
    within.members.push_back({std::move(key), Json()});
  } else if (on_duplicate) {
    std::vector<std::string> path;
    for (const Within& outer : open_) {
      if (!outer.is_list) path.push_back(outer.key);
    }
    on_duplicate(path);
  }
  return true;
}

bool JsonBuilder::Open(bool is_list) {
  too_deep_ = open_.size() == Json::kDeepest;
  if (too_deep_) return false;
  open_.emplace_back().is_list = is_list;
  return true;
}

bool JsonBuilder::Close() {
  Within done = std::move(open_.back());
  open_.pop_back();
  return Put(done.is_list ? Json::Array(std::move(done.items))
                          : Json::Object(std::move(done.members)));
}

}  // namespace moe

#include "checkpoint/json_text.h"

#include "checkpoint/names.h"

namespace moe {

std::string JsonFault(std::string_view what) {
  // "[id] parse error at line 1, column 2: syntax error ...; last read: 'BYTES OF THE FILE'"
  if (const size_t id_end = what.find("] "); id_end != what.npos) what.remove_prefix(id_end + 2);
  return Printable(what.substr(0, what.find("; last read")));
}

}  // namespace moe

#pragma once

#include <string>

namespace moe {

/// JSON Schema (draft 2020-12) of analysis_config.json.
std::string ConfigSchemaText();

/// The table of docs/config.md.
std::string ConfigKeysMarkdown();

}  // namespace moe

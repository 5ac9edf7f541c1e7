#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace moe::cli {

// How commands declare their arguments. Only command.cc and main.cc see the library that parses
// them.

/// An argument of a command; what is said of it here is checked before the command runs. A handle,
/// good as long as the program.
class Argument {
 public:
  explicit Argument(CLI::Option* option) : option_(option) {}

  Argument Required() const;
  Argument ShowDefault() const;  ///< the help shows the value that it has now
  Argument OneOf(const std::vector<std::string>& values) const;
  Argument AtMost(uint64_t largest) const;  ///< of a number, from 0
  Argument Repeatable() const;              ///< given again, values are joined by commas
  Argument MayBeBare() const;               ///< --name without a value
  Argument Excludes(const Argument& other) const;
  Argument Needs(const Argument& other) const;

  bool Given() const;

 private:
  CLI::Option* option_;
};

/// A command, or the program itself. A handle, as above.
class Command {
 public:
  explicit Command(CLI::App* app) : app_(app) {}

  Command Add(const std::string& name, const std::string& meaning) const;
  void Alias(const std::string& name) const;
  void Footer(const std::string& text) const;  ///< what stands below the help

  // `names`: "--top", "-j,--threads", or of a positional one "MODEL". `value` gets what is given;
  // it outlives the parsing.
  Argument Option(const std::string& names, std::string& value, const std::string& meaning) const;
  Argument Option(const std::string& names, std::optional<std::string>& value,
                  const std::string& meaning) const;
  /// May be given several times.
  Argument Option(const std::string& names, std::vector<std::string>& values,
                  const std::string& meaning) const;
  Argument Option(const std::string& names, unsigned& value, const std::string& meaning) const;
  Argument Option(const std::string& names, std::optional<uint64_t>& value,
                  const std::string& meaning) const;
  Argument Flag(const std::string& names, bool& value, const std::string& meaning) const;

  /// `run` is called when this command was given and its arguments are fine.
  void OnRun(std::function<void()> run) const;
  /// Of one that only has commands of its own: without one of them it gives its help.
  void HelpIfBare() const;

 private:
  CLI::App* app_;
};

}  // namespace moe::cli

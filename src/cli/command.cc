#include "cli/command.h"

#include <CLI/CLI.hpp>
#include <utility>

namespace moe::cli {

Argument Argument::Required() const { return Argument(option_->required()); }

Argument Argument::ShowDefault() const { return Argument(option_->capture_default_str()); }

Argument Argument::OneOf(const std::vector<std::string>& values) const {
  return Argument(option_->check(CLI::IsMember(values)));
}

Argument Argument::AtMost(uint64_t largest) const {
  return Argument(option_->check(CLI::Range(largest)));
}

Argument Argument::Repeatable() const { return Argument(option_->join(',')); }

Argument Argument::MayBeBare() const { return Argument(option_->expected(0, 1)); }

Argument Argument::Excludes(const Argument& other) const {
  return Argument(option_->excludes(other.option_));
}

Argument Argument::Needs(const Argument& other) const {
  return Argument(option_->needs(other.option_));
}

bool Argument::Given() const { return option_->count() > 0; }

Command Command::Add(const std::string& name, const std::string& meaning) const {
  return Command(app_->add_subcommand(name, meaning));
}

void Command::Alias(const std::string& name) const { app_->alias(name); }

void Command::Footer(const std::string& text) const { app_->footer(text); }

Argument Command::Option(const std::string& names, std::string& value,
                         const std::string& meaning) const {
  return Argument(app_->add_option(names, value, meaning));
}

Argument Command::Option(const std::string& names, std::optional<std::string>& value,
                         const std::string& meaning) const {
  return Argument(app_->add_option(names, value, meaning));
}

Argument Command::Option(const std::string& names, std::vector<std::string>& values,
                         const std::string& meaning) const {
  return Argument(app_->add_option(names, values, meaning)->allow_extra_args(false));
}

Argument Command::Option(const std::string& names, unsigned& value,
                         const std::string& meaning) const {
  return Argument(app_->add_option(names, value, meaning));
}

Argument Command::Option(const std::string& names, std::optional<uint64_t>& value,
                         const std::string& meaning) const {
  return Argument(app_->add_option(names, value, meaning));
}

Argument Command::Flag(const std::string& names, bool& value, const std::string& meaning) const {
  return Argument(app_->add_flag(names, value, meaning));
}

void Command::OnRun(std::function<void()> run) const { app_->callback(std::move(run)); }

void Command::HelpIfBare() const {
  app_->require_subcommand(0, 1);
  app_->callback([app = app_] {
    if (app->get_subcommands().empty()) throw CLI::CallForHelp();
  });
}

}  // namespace moe::cli

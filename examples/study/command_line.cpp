#include "command_line.hpp"

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>

namespace study {

const Option& Option::required() const { return option_->required(), *this; }
const Option& Option::positive() const { return option_->check(CLI::PositiveNumber), *this; }
const Option& Option::not_negative() const { return option_->check(CLI::NonNegativeNumber), *this; }
const Option& Option::existing_file() const { return option_->check(CLI::ExistingFile), *this; }
const Option& Option::existing_folder() const {
  return option_->check(CLI::ExistingDirectory), *this;
}
const Option& Option::existing_path() const { return option_->check(CLI::ExistingPath), *this; }
const Option& Option::one_of(const std::vector<std::string>& values) const {
  return option_->check(CLI::IsMember(values)), *this;
}
const Option& Option::separated_by(char character) const {
  return option_->delimiter(character), *this;
}
const Option& Option::shows_default() const { return option_->capture_default_str(), *this; }

CommandLine::CommandLine(const std::string& description, const std::string& program)
    : app_(std::make_unique<CLI::App>(description, program)) {}
CommandLine::~CommandLine() = default;

template <class T>
Option CommandLine::option(const std::string& name, T& value, const std::string& description) {
  return Option(app_->add_option(name, value, description));
}

template Option CommandLine::option(const std::string&, int&, const std::string&);
template Option CommandLine::option(const std::string&, std::ptrdiff_t&, const std::string&);
template Option CommandLine::option(const std::string&, std::uint64_t&, const std::string&);
template Option CommandLine::option(const std::string&, float&, const std::string&);
template Option CommandLine::option(const std::string&, double&, const std::string&);
template Option CommandLine::option(const std::string&, std::string&, const std::string&);
template Option CommandLine::option(const std::string&, std::filesystem::path&, const std::string&);
template Option CommandLine::option(const std::string&, std::vector<double>&, const std::string&);
template Option CommandLine::option(const std::string&, std::vector<std::string>&,
                                    const std::string&);
template Option CommandLine::option(const std::string&, std::vector<std::filesystem::path>&,
                                    const std::string&);

void CommandLine::flag(const std::string& name, bool& value, const std::string& description) {
  app_->add_flag(name, value, description);
}

void CommandLine::version(const std::string& text) { app_->set_version_flag("--version", text); }

void CommandLine::pass_on_others() {
  app_->allow_extras();
  app_->set_help_flag();
}

std::vector<std::string> CommandLine::others() const { return app_->remaining(); }

void CommandLine::parse(int argc, char** argv) {
  try {
    app_->parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    throw Asked(app_->help());
  } catch (const CLI::Success& asked) {
    throw Asked(std::string(asked.what()) + "\n");
  }
}

std::optional<int> CommandLine::end_of(int argc, char** argv) {
  try {
    app_->parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    return app_->exit(error);
  }
}

}  // namespace study

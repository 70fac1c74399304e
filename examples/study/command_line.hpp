/// The command line of a program: CLI11 behind declarations, so that it is compiled once for all.
#pragma once

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace study {

/// One option, to say what its value must be. A value that is not so is an error of the user's.
class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}

  const Option& required() const;
  const Option& positive() const;
  const Option& not_negative() const;
  const Option& existing_file() const;
  const Option& existing_folder() const;
  const Option& existing_path() const;
  const Option& one_of(const std::vector<std::string>& values) const;
  /// The values of a list, in one word, are separated by `character`.
  const Option& separated_by(char character) const;
  /// The help prints the default.
  const Option& shows_default() const;

 private:
  CLI::Option* option_;
};

/// What a program can be told.
class CommandLine {
 public:
  /// The user asked for help or the version: `what()` is the text to print.
  struct Asked : std::runtime_error {
    using std::runtime_error::runtime_error;
  };

  explicit CommandLine(const std::string& description, const std::string& program = "");
  ~CommandLine();

  /// An option `--name`, or a positional argument without dashes, whose value goes to `value`: a
  /// number, a text, a path, or a list of texts, paths or numbers (command_line.cpp lists the
  /// types).
  template <class T>
  Option option(const std::string& name, T& value, const std::string& description = "");

  /// An option without a value.
  void flag(const std::string& name, bool& value, const std::string& description);

  /// `--version`.
  void version(const std::string& text);

  /// Leaves what it does not know, `--help` with it, to be parsed by another.
  void pass_on_others();

  /// The words that were left so.
  std::vector<std::string> others() const;

  /// Reads the words of a command. Throws `Asked`, or a std::exception that says what is wrong.
  void parse(int argc, char** argv);

  /// The same for most programs: prints what went wrong or was asked for, and returns the exit
  /// status if the program is to end.
  std::optional<int> end_of(int argc, char** argv);

 private:
  std::unique_ptr<CLI::App> app_;
};

}  // namespace study

// The manual page, and the completion for bash, as the options are: what the build makes of them.
#include "commands.hpp"

#include <CLI/CLI.hpp>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace belfry::cli {
namespace {

bool takes_value(const CLI::Option& o) { return o.get_items_expected_max() != 0 && o.get_type_size() != 0; }
bool is_positional(const CLI::Option& o) { return o.get_positional(); }

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* c) { return !c->get_group().empty(); });
}

/// The names of an option, and of what follows it.
std::vector<std::string> names_of(const CLI::Option& o) {
  std::vector<std::string> names;
  for (const std::string& n : o.get_snames()) names.push_back('-' + n);
  for (const std::string& n : o.get_lnames()) names.push_back("--" + n);
  return names;
}

// ---- manual page

std::string roff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (c == '`') {
      out += '"';
    } else if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) {
      out += std::string("\\&") + c;
    } else {
      out += c;
    }
  }
  return out;
}

/// `text` in quotes, as an example is, is set in bold.
std::string paragraph(std::string_view text) {
  std::string out;
  bool bold = false;
  std::string part;
  for (const char c : text) {
    if (c != '`') {
      part += c;
      continue;
    }
    out += roff(part);
    part.clear();
    out += (bold = !bold) ? "\\fB" : "\\fR";
  }
  return out + roff(part) + (text.ends_with('.') ? "\n" : ".\n");
}

void print_options(const CLI::App& command) {
  for (const CLI::Option* o : command.get_options()) {
    std::string names;
    for (const std::string& n : names_of(*o)) names += (names.empty() ? "" : ", ") + ("\\fB" + roff(n) + "\\fR");
    if (is_positional(*o)) names = "\\fI" + roff(o->get_name(true)) + "\\fR";
    if (!is_positional(*o) && takes_value(*o)) names += " \\fI" + roff(o->get_type_name()) + "\\fR";
    std::cout << ".TP\n" << names << '\n' << paragraph(o->get_description());
    if (!o->get_default_str().empty()) std::cout << "Default: " << roff(o->get_default_str()) << ".\n";
  }
}

void print_command(const CLI::App& command) {
  std::string usage = "belfry " + command.get_name();
  std::string arguments;
  for (const CLI::Option* o : command.get_options()) {
    if (!is_positional(*o)) continue;
    const std::string name = roff(o->get_name(true)) + (o->get_items_expected_max() > 1 ? "..." : "");
    arguments += o->get_required() ? " \\fI" + name + "\\fR" : " [\\fI" + name + "\\fR]";
  }
  std::cout << ".SS \"" << roff(usage) << "\"\n"
            << "\\fB" << roff(usage) << "\\fR [\\fIoptions\\fR]" << arguments << "\n.PP\n"
            << paragraph(command.get_description());
  if (!command.get_footer().empty()) std::cout << ".PP\n" << paragraph(command.get_footer());
  print_options(command);
}

void print_manual(const CLI::App& app) {
  std::cout << ".\\\" Made by `belfry pages man`.\n"
               ".TH BELFRY 1 \"\" \"Belfry " BELFRY_VERSION "\" \"User Commands\"\n"
               ".SH NAME\nbelfry \\- see and keep shared memory between processes\n"
               ".SH SYNOPSIS\n\\fBbelfry\\fR \\fIcommand\\fR [\\fIoptions\\fR]\n"
               ".SH DESCRIPTION\n"
            << paragraph(
                   "Belfry's channels, and blocks like those of Python's multiprocessing, are files in shared memory. "
                   "This program shows them, and what passes through them, and removes them. Unless its description "
                   "says otherwise, a command only looks: it joins no channel, wakes no process, and takes no lock.")
            << ".SH COMMANDS\n";
  for (const CLI::App* c : commands_of(app)) print_command(*c);
  std::cout << ".SH EXIT STATUS\n"
            << paragraph("0 done; 1 failed, with a line on standard error for each reason; 2 wrong usage. `check` has its "
                         "own, those of monitoring plugins.")
            << ".SH ENVIRONMENT\n";
  const std::pair<const char*, const char*> variables[]{
      {"BELFRY_AUTHKEY", "The key of `belfry serve`, if no option gives one."},
      {"BELFRY_LOG", "What the library says on standard error."},
      {"COLUMNS", "The width of tables, instead of that of the terminal."},
      {"NO_COLOR", "If it is set, nothing is coloured."},
  };
  for (const auto& [name, what] : variables) std::cout << ".TP\n\\fB" << name << "\\fR\n" << paragraph(what);
  std::cout << ".SH FILES\n.TP\n\\fI/dev/shm\\fR\n" << paragraph("Shared memory: NAME, NAME.bell.N, NAME.watch.");
}

// ---- completion

void print_completion(const CLI::App& app) {
  std::string commands;
  std::string cases;
  for (const CLI::App* c : commands_of(app)) {
    std::string options;
    bool names = false;
    for (const CLI::Option* o : c->get_options()) {
      if (is_positional(*o)) names = names || o->get_name(true) == "name";
      for (const std::string& n : names_of(*o)) options += (options.empty() ? "" : " ") + n;
    }
    std::string pattern = c->get_name();
    commands += ' ' + c->get_name();
    for (const std::string& alias : c->get_aliases()) pattern += '|' + alias;
    cases += "      " + pattern + ") options='" + options + "'" + (names ? " names=yes" : "") + " ;;\n";
  }
  std::cout << "# Completion of `belfry` for bash. Made by `belfry pages bash`.\n"
               "_belfry() {\n"
               "  local current=${COMP_WORDS[COMP_CWORD]} options='--help --version' names='' IFS=$' \\t\\n'\n"
               "  COMPREPLY=()\n"
               "  if [ \"$COMP_CWORD\" -gt 1 ]; then\n"
               "    case ${COMP_WORDS[1]} in\n"
            << cases
            << "    esac\n"
               "  elif [[ $current != -* ]]; then\n"
               "    options='"
            << commands.substr(1)
            << "'\n"
               "  fi\n"
               "  if [ \"$names\" ] && [[ $current != -* ]]; then\n"
               "    options=$(COLUMNS='' \"${COMP_WORDS[0]}\" ls 2>/dev/null | sed '1d; s/ .*//')\n"
               "  fi\n"
               "  mapfile -t COMPREPLY < <(compgen -W \"${options//\\\\/\\\\\\\\}\" -- \"$current\")\n"
               "}\n"
               "complete -o default -F _belfry belfry\n";
}

}  // namespace

void add_pages(CLI::App& app) {
  CLI::App* const command = app.add_subcommand("pages", "The manual page, or the completion for bash");
  command->group("");  // not for users
  command->require_subcommand(1);
  command->add_subcommand("man", "The manual page")->callback([&app] { print_manual(app); });
  command->add_subcommand("bash", "The completion for bash")->callback([&app] { print_completion(app); });
}

}  // namespace belfry::cli

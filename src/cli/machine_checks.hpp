// What `belfry doctor` knows of the operating system.
#pragma once

#include "findings.hpp"

#include <vector>

namespace belfry::cli {

/// The system, and where channels are.
std::vector<diagnosis> checks_of_system();
/// What a process may use. It comes behind the look at channels.
std::vector<diagnosis> checks_of_limits();

struct system_texts {
  const char* channels_advice;  ///< when no channel can be made
  const char* locks;            ///< by which a death is noticed
  const char* locks_advice;
  const char* continue_advice;  ///< what to do with a process that was stopped
};
extern const system_texts texts_of_system;

}  // namespace belfry::cli

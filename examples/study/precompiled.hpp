/// What most programs read, compiled once by CMake.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "branchlora/adapter/adapted_linear.hpp"
#include "command_line.hpp"
#include "runs.hpp"
#include "study.hpp"

/// @file
/// What most tests read, compiled once by CMake, with what `instances/` compiles for all of them.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "branchlora/autograd/ops.hpp"
#include "branchlora/eigen/instances.hpp"
#include "branchlora/optim/adamw.hpp"
#include "support/naive.hpp"

BRANCHLORA_EIGEN_INSTANCES(extern)

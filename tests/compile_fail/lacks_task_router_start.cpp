// expect: A router of tasks lacks `static double start(const Random& random
#include "branchlora/adapter/policy/task_router.hpp"

using namespace branchlora;

struct Mine : router::OfTask {
  static constexpr const char* name() { return "Mine"; }
  static constexpr std::int64_t width(int branches, std::int64_t) { return branches; }
};

constexpr bool checked = check_task_router<Mine, true>();

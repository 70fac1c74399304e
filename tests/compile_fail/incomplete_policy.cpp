// expect: A policy of category::Router lacks `using Granularity`: what the router reads
#include "branchlora/adapter/adapter.hpp"

using namespace branchlora;

struct Cosine {
  using Category = category::Router;
  static constexpr bool per_task = false;
  static constexpr const char* name() { return "Cosine"; }
  static constexpr int rows(int branches) { return branches; }
};

constexpr int rank = Adapter<Rank<8>, Branches<4>, Cosine>::rank;

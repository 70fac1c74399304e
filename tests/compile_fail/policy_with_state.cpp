// expect: An argument of an Adapter is no policy: an empty type with a Category and a name().
#include "branchlora/adapter/adapter.hpp"

using namespace branchlora;

struct Tempered {
  using Category = category::Scaling;
  static constexpr const char* name() { return "Tempered"; }
  static constexpr double value(double alpha, int, int) { return alpha; }
  double temperature = 1.0;
};

constexpr int rank = Adapter<Tempered>::rank;

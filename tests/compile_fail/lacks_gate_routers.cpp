// expect: A router's Gate lacks `Index routers() const`: how many routers there are.
#include "branchlora/adapter/gate/gates.hpp"
#include "branchlora/eigen/backend.hpp"

using namespace branchlora;

template <class B, class V>
class Even : public NoGate<B, V> {
 public:
  using NoGate<B, V>::NoGate;

 private:
  using NoGate<B, V>::routers;
};

struct Two {
  static constexpr Index top_k = 2;
};

constexpr bool checked =
    check_gate<Even<eigen::Backend<float>, Two>, eigen::Backend<float>, true>();

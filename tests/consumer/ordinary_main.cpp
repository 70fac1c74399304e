#include "branchlora/io/safetensors.hpp"
#include "ordinary.hpp"

// Both sources see the same ordinary code, which must not be there twice.
int main() { return ordinary_code_works() && branchlora::io::byte_size({}) == 1 ? 0 : 1; }

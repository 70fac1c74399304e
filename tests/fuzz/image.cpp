// Any bytes are refused with an `Error`, or are a picture with as many pixels as it says.
#include "branchlora/data/image.hpp"

#include "input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace branchlora;
  fuzz::attempt([&] {
    const auto image = data::load_image(fuzz::as_file(fuzz::as_text(bytes, size)));
    fuzz::require(image.width > 0 && image.height > 0);
    fuzz::require(std::ssize(image.rgb) == 3 * image.width * image.height);
  });
  return 0;
}

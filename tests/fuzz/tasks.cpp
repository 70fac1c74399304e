// Any bytes are refused with an `Error`, or are a list of tasks.
#include "branchlora/data/task.hpp"
#include "input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace branchlora;
  fuzz::attempt([&] { data::load_task_infos(fuzz::as_file(fuzz::as_text(bytes, size))); });
  return 0;
}

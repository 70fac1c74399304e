// Any bytes are refused with an `Error`, or are the record of a run, which comes back as it was.
#include "branchlora/report/run_record.hpp"

#include <nlohmann/json.hpp>

#include "input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace branchlora;
  fuzz::attempt([&] {
    const auto record = report::read_run(fuzz::as_file(fuzz::as_text(bytes, size)));
    const std::string written = report::to_json(record).dump();
    const auto again = report::from_json(io::parse_json(written, "written"), "written");
    fuzz::require(report::to_json(again).dump() == written);
  });
  return 0;
}

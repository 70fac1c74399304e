#include "branchlora/model/published/weight_files.hpp"

#include <doctest/doctest.h>

#include <numeric>

#include "io/temporary_folder.hpp"

using namespace branchlora;
using namespace branchlora::model::published;
using test::check_mentions;
using test::error_of;

namespace {

const std::vector<float> numbers{1, 2, 3, 4, 5, 6};

/// A folder with "x" (2 x 3), "y" (6) and whole numbers "i" (6).
class Folder {
 public:
  Folder() {
    const std::vector<std::int32_t> whole(6);
    io::write_safetensors(file(), {io::tensor_out<float>("x", {2, 3}, numbers),
                                   io::tensor_out<float>("y", {6}, numbers),
                                   io::tensor_out<std::int32_t>("i", {6}, whole)});
  }

  std::filesystem::path file() const { return folder_.path() / "model.safetensors"; }

  std::string refusal(const WeightMap& map) const {
    const WeightFiles files(folder_.path());
    return error_of([&] { files.expect_exactly(map); });
  }

  /// How a message about tensor `name` begins.
  std::string at(const std::string& name) const {
    return file().string() + ": tensor '" + name + "': ";
  }

  WeightFiles open() const { return WeightFiles(folder_.path()); }

 private:
  test::TemporaryFolder folder_;
};

const Weight x{"a", "x", {2, 3}};
const Weight y{"b", "y", {6}};

}  // namespace

TEST_CASE("the tensors of a folder have to be those of the map") {
  const Folder folder;
  CHECK_NOTHROW(folder.open().expect_exactly({{x, y}, {"i"}}));
  CHECK_NOTHROW(folder.open().expect_exactly({{y, x}, {"something", "i"}}));

  CHECK(folder.refusal({{x, y, {"c", "z", {6}}}, {"i"}}) ==
        folder.file().string() + ": expected a tensor 'z', found none of that name");
  CHECK(folder.refusal({{x}, {"i"}}) ==
        folder.at("y") + "expected none of that name, found one of shape [6]");
  CHECK(folder.refusal({{{"a", "x", {3, 2}}, y}, {"i"}}) ==
        folder.at("x") + "expected shape [3, 2], found [2, 3]");
  CHECK(folder.refusal({{{"a", "x", {6}}, y}, {"i"}}) ==
        folder.at("x") + "expected shape [6], found [2, 3]");
  CHECK(folder.refusal({{x, y, {"c", "i", {6}}}, {}}) ==
        folder.at("i") + "expected type F32, F16, BF16 or F64, found I32");
}

TEST_CASE("a copy has the same numbers, type and shape") {
  const Folder folder;
  const WeightFiles files = folder.open();
  CHECK_NOTHROW(files.expect_copy("x", "x", "of a reason"));
  CHECK(error_of([&] { files.expect_copy("x", "y", "of a reason"); }) ==
        folder.at("x") +
            "expected a copy of 'y', or none, since of a reason; found another type or shape");
  std::vector<float> others = numbers;
  others.back() += 1e-6F;
  io::write_safetensors(folder.file(), {io::tensor_out<float>("x", {6}, numbers),
                                        io::tensor_out<float>("y", {6}, others)});
  const WeightFiles changed = folder.open();
  CHECK(error_of([&] { changed.expect_copy("x", "y", "of a reason"); }) ==
        folder.at("x") + "expected a copy of 'y', or none, since of a reason; found other numbers");
}

TEST_CASE("the first prefix under which there is a tensor, or the first of all") {
  const Folder folder;
  CHECK(folder.open().prefix({"model.", ""}, "x").empty());
  CHECK(folder.open().prefix({"model.", ""}, "w") == "model.");
  CHECK(folder.open().contains("x"));
  CHECK_FALSE(folder.open().contains("w"));
}

TEST_CASE("a convolution is read as rows of patches: (out, y, x, colour)") {
  const test::TemporaryFolder folder;
  std::vector<float> values(2 * 3 * 2 * 2);
  std::iota(values.begin(), values.end(), 0.0F);
  io::write_safetensors(folder.path() / "model.safetensors",
                        {io::tensor_out<float>("conv", {2, 3, 2, 2}, values)});
  std::vector<double> rows;
  WeightFiles(folder.path()).read(Weight{"p", "conv", {2, 3, 2, 2}, true}, rows);
  // By hand: of each pixel its three colours, which lie 4 apart in the file.
  CHECK(rows == std::vector<double>{0,  4,  8,  1,  5,  9,  2,  6,  10, 3,  7,  11,
                                    12, 16, 20, 13, 17, 21, 14, 18, 22, 15, 19, 23});
}

TEST_CASE("a folder without safetensors says what it has") {
  const test::TemporaryFolder folder;
  check_mentions(error_of([&] { WeightFiles{folder.path()}; }), folder.path().string(),
                 "expected model.safetensors", "found neither");
  folder.write("pytorch_model.bin", "x");
  check_mentions(error_of([&] { WeightFiles{folder.path()}; }), folder.path().string(),
                 "found weights as PyTorch pickles them", "save them as safetensors");
}

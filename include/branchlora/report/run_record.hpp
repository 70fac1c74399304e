/// @file
/// The record of a run on disk: its result, and all it takes to repeat it.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "branchlora/continual/run_result.hpp"
#include "branchlora/report/environment.hpp"

namespace branchlora::report {

using continual::AccuracyMatrix;
using continual::not_measured;
using continual::RunResult;

/// A result and where it came from: the content of one file.
struct RunRecord {
  RunResult result;
  Environment environment;
};

/// Throws, naming `where`, unless every extent of `run` agrees with its number of tasks.
void validate(const RunResult& run, std::string_view where);

/// The record as JSON; missing numbers are null. `from_json` restores the same bits.
nlohmann::ordered_json to_json(const RunRecord& record);

/// Reads what `to_json` wrote. Throws, naming `where` and the field, for a field that is missing,
/// unknown, of the wrong type or of the wrong length.
RunRecord from_json(const nlohmann::json& json, const std::string& where);

/// Writes `record` to the file `path`, whole or not at all.
void write_run(const std::filesystem::path& path, const RunRecord& record);

/// Reads a file that `write_run` wrote. Throws, naming the file, if it cannot be read or is not a
/// record.
RunRecord read_run(const std::filesystem::path& path);

}  // namespace branchlora::report

#ifndef BRANCHLORA_COMPILED
#include "branchlora/report/run_record-inl.hpp"
#endif

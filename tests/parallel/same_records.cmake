# A study gives the same records and weights, bit for bit, from one process, from two that are
# started by hand with --share and, where LAUNCH is a command that starts processes by MPI, from two
# that know of each other.
# usage: cmake -DCOMPARE=<program> -DFOLDER=<scratch> [-DLAUNCH=<command of MPI>] -P same_records.cmake
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE ${FOLDER})

set(study ${COMPARE} --smoke --rows Zero-shot LoRA BranchLoRA --seeds 2 --search 1e-3,3e-3 --search-beyond 1 --jobs 1)

function(run out)
  execute_process(COMMAND ${ARGN} --out ${FOLDER}/${out} RESULT_VARIABLE status
                  OUTPUT_VARIABLE output ERROR_VARIABLE errors)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${out}: status ${status}\n${output}${errors}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

function(expect_count pattern expected)
  file(GLOB found ${FOLDER}/${pattern})
  list(LENGTH found count)
  if(NOT count EQUAL expected)
    message(FATAL_ERROR "${pattern}: expected ${expected} files, found ${count}")
  endif()
endfunction()

# What must not differ of a record.
function(read_record path result)
  file(READ ${path} text)
  foreach(time IN ITEMS step_ms train_seconds stage_seconds environment)
    string(JSON text REMOVE "${text}" ${time})
  endforeach()
  set(${result} "${text}" PARENT_SCOPE)
endfunction()

# The tensors of a safetensors file: what follows its header, whose length stands before it.
function(read_tensors path result)
  file(READ ${path} bytes LIMIT 8 HEX)
  string(REGEX MATCHALL ".." bytes ${bytes})
  list(REVERSE bytes)
  list(JOIN bytes "" length)
  math(EXPR start "8 + 0x${length}")
  file(READ ${path} tensors OFFSET ${start} HEX)
  string(SHA256 tensors "${tensors}")
  set(${result} "${tensors}" PARENT_SCOPE)
endfunction()

function(expect_same kind reader other)
  file(GLOB paths RELATIVE ${FOLDER}/one ${FOLDER}/one/${kind})
  if(NOT paths)
    message(FATAL_ERROR "one/${kind}: expected files, found none")
  endif()
  foreach(path IN LISTS paths)
    cmake_language(CALL ${reader} ${FOLDER}/one/${path} expected)
    cmake_language(CALL ${reader} ${FOLDER}/${other}/${path} found)
    if(NOT found STREQUAL expected)
      message(FATAL_ERROR "${path}: one process wrote\n${expected}\nand ${other}\n${found}")
    endif()
  endforeach()
endfunction()

function(expect_same_study other)
  expect_same(search/*.json read_record ${other})
  expect_same(runs/*.json read_record ${other})
  expect_same(snapshots/*.safetensors read_tensors ${other})
endfunction()

run(one ${study})
# Two rates and the one beyond the better, for each row that trains; BranchLoRA has three records.
expect_count(one/search/*.json 12)
expect_count(one/runs/*.json 9)  # two seeds, but for the row that does not train

run(shares ${study} --phase search --share 1/2)
expect_count(shares/search/*.json 4)
run(shares ${study} --phase search --share 2/2)
run(shares ${study} --phase train --share 1/2)
expect_count(shares/runs/*.json 7)  # of five jobs the first, third and fifth
run(shares ${study} --phase train --share 2/2)
run(shares ${study} --resume)
expect_same_study(shares)

if(LAUNCH)
  run(mpi ${LAUNCH} ${study})
  string(REGEX MATCHALL "Tables, curves and run records" tables "${output}")
  list(LENGTH tables count)
  if(NOT count EQUAL 1)
    message(FATAL_ERROR "expected one table of two processes, found ${count}:\n${output}")
  endif()
  expect_same_study(mpi)
endif()

# What goes wrong in one process of a study ends all of them, and is told once.
# usage: cmake -DCOMPARE=<program> -DFOLDER=<scratch> -DLAUNCH=<command of MPI> -P one_error.cmake
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE ${FOLDER})

function(expect_error message)
  execute_process(COMMAND ${LAUNCH} ${COMPARE} --smoke --rows Zero-shot LoRA --out ${FOLDER} ${ARGN}
                  RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE errors)
  if(status EQUAL 0)
    message(FATAL_ERROR "expected the error '${message}', found success:\n${output}")
  endif()
  string(REGEX MATCHALL "${message}" told "${output}${errors}")
  list(LENGTH told count)
  if(NOT count EQUAL 1)
    message(FATAL_ERROR "expected '${message}' once, found it ${count} times:\n${output}${errors}")
  endif()
endfunction()

# In all processes.
expect_error("compare: there is no row 'Lora'" --rows Lora)
expect_error("compare: --share is for processes" --share 1/2)
expect_error("--budget" --budget all)
# In the second alone: LoRA is its row.
file(MAKE_DIRECTORY ${FOLDER}/runs/LoRA-seed-1.json)
expect_error("process 2 of 2: cannot write")

# As a part of another project the library builds nothing and imposes nothing.
if(TARGET test_main OR TARGET branchlora_compiled OR BRANCHLORA_BUILD_TESTS
   OR BRANCHLORA_BUILD_EXAMPLES OR BRANCHLORA_NATIVE)
  message(FATAL_ERROR "tests, examples or native tuning are on in a consumer")
endif()
foreach(target IN ITEMS branchlora branchlora_eigen)
  get_target_property(options ${target} INTERFACE_COMPILE_OPTIONS)
  if(options)
    message(FATAL_ERROR "${target} passes ${options} on to a consumer")
  endif()
endforeach()
if(CMAKE_BUILD_TYPE OR CMAKE_CXX_COMPILER_LAUNCHER)
  message(FATAL_ERROR "the build type or compiler launcher of a consumer was set")
endif()

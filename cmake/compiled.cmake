# branchlora::compiled, the ordinary code of the headers compiled once: one source for each folder,
# which includes the folder's *-inl.hpp. Who links it sees declarations alone.
find_package(fmt 9 REQUIRED)
set(include_dir ${PROJECT_SOURCE_DIR}/include)
file(GLOB_RECURSE inline_headers CONFIGURE_DEPENDS RELATIVE ${include_dir} include/*-inl.hpp)
list(SORT inline_headers)
set(folders "")
foreach(header IN LISTS inline_headers)
  cmake_path(GET header PARENT_PATH folder)
  string(REGEX REPLACE "[^a-z0-9]" "_" name "${folder}")
  list(APPEND folders ${name})
  string(APPEND includes_of_${name} "#include \"${header}\"\n")
endforeach()
list(REMOVE_DUPLICATES folders)

add_library(branchlora_compiled STATIC)
add_library(branchlora::compiled ALIAS branchlora_compiled)
set_target_properties(branchlora_compiled PROPERTIES EXPORT_NAME compiled)
foreach(name IN LISTS folders)
  set(source ${PROJECT_BINARY_DIR}/compiled/${name}.cpp)
  file(CONFIGURE OUTPUT ${source} CONTENT "${includes_of_${name}}" @ONLY)  # written if it changed
  target_sources(branchlora_compiled PRIVATE ${source})
endforeach()
target_link_libraries(branchlora_compiled PUBLIC branchlora fmt::fmt)
target_compile_definitions(branchlora_compiled PUBLIC BRANCHLORA_COMPILED)
# fmt is linked too: its headers then are declarations, like ours.
target_compile_options(branchlora_compiled PUBLIC -UFMT_HEADER_ONLY)
